"""The connection to Qdrant."""
