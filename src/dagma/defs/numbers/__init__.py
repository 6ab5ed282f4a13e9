"""Numbers: the smallest pipeline, to see that the platform runs."""
