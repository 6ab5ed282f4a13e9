"""Time of day of the nightly retraining, from the settings."""

from dagma import values
from dagma.kit.settings import setting


def nightly() -> str:
    """A cron expression for every day at DAGMA_NIGHTLY_AT.

    Raises:
        SettingsError: It is no time of day.
    """
    hour, _, minute = setting("DAGMA_NIGHTLY_AT", values.TimeOfDay, "03:00").partition(":")
    return f"{int(minute)} {int(hour)} * * *"
