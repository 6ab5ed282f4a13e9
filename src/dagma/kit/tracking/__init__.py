"""Tracking of training with MLflow."""
