"""Embedding: a vector per ingredient, learnt from what is cooked together."""
