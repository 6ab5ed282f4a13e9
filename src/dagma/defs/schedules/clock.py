"""Time zone and time of day of the schedules, and the rhythm of the sensors, from the settings."""

import os

#: As in the table of settings.
ZONE, NIGHTLY_AT, SENSOR_INTERVAL = "UTC", "03:00", 30


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


def nightly() -> str:
    """A cron expression for every day at DAGMA_NIGHTLY_AT.

    Raises:
        ValueError: It is no time of day.
    """
    time = os.environ.get("DAGMA_NIGHTLY_AT") or NIGHTLY_AT
    hour, _, minute = time.partition(":")
    if not (hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60):
        raise ValueError(f"DAGMA_NIGHTLY_AT is {time!r}, but it must be a time such as 03:00.")
    return f"{int(minute)} {int(hour)} * * *"
