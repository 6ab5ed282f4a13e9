"""Time zone of the schedules and rhythm of the sensors, from the settings."""

from dagma import values
from dagma.kit.settings import setting

__all__ = ["sensor_interval", "zone"]


def zone() -> str:
    """The time zone that DAGMA_TIMEZONE names.

    Raises:
        SettingsError: There is none of that name.
    """
    return setting("DAGMA_TIMEZONE", values.Zone, "UTC")


def sensor_interval() -> int:
    """Seconds between two ticks of a sensor: DAGMA_SENSOR_INTERVAL.

    Raises:
        SettingsError: It is no whole number, or out of bounds.
    """
    return setting("DAGMA_SENSOR_INTERVAL", values.Seconds, 30)
