"""The services around the user's code: settings, preparation and control of process-compose."""
