"""Models: tracking with MLflow, and the smallest asset that uses it."""
