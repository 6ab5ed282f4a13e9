"""Vectors: the embedding in Qdrant, where programs look neighbours up."""
