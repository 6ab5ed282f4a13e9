"""Time of day of the nightly retraining, from the settings."""

import os

#: As in the table of settings.
NIGHTLY_AT = "03:00"


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
