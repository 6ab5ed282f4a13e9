"""Ingestion: a file dropped into a directory becomes a partition."""
