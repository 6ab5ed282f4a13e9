"""Schedules, each with an explicit time zone."""
