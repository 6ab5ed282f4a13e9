"""Notifications: how runs ended, told to a webhook."""
