"""Definitions, one folder per subject; Dagster loads every module below."""
