"""Jobs of ops and graphs, for teams that come from task-based tools."""
