"""Time zone of the schedules and rhythm of the sensors, from the settings."""

import os

#: As in the table of settings.
ZONE, SENSOR_INTERVAL = "UTC", 30


def zone() -> str:
    """The time zone that DAGMA_TIMEZONE names; Dagster refuses one that there is not."""
    return os.environ.get("DAGMA_TIMEZONE") or ZONE


def sensor_interval() -> int:
    """Seconds between two ticks of a sensor.

    Raises:
        ValueError: DAGMA_SENSOR_INTERVAL is no whole number.
    """
    seconds = os.environ.get("DAGMA_SENSOR_INTERVAL") or str(SENSOR_INTERVAL)
    if not seconds.isdecimal():
        raise ValueError(f"DAGMA_SENSOR_INTERVAL is {seconds!r}, but it must be a whole number.")
    return int(seconds)
