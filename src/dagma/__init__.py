"""A data and ML platform in one command."""
