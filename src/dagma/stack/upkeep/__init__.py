"""What keeps the state of every service: backup, restore, migrations, and what is removed in time."""
