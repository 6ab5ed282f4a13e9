"""Recipes: a real corpus, read and made tidy."""
