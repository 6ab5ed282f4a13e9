"""The inbox, from the setting DAGMA_INBOX."""

import dagster as dg

from dagma import values
from dagma.defs.ingestion.inbox import Inbox
from dagma.kit.closed import closed
from dagma.kit.settings import from_environment, given

VARIABLE = "DAGMA_INBOX"


def default_status() -> dg.DefaultSensorStatus:
    """Whether the sensor starts by itself: where there is an inbox to watch."""
    watched = given(VARIABLE)
    return dg.DefaultSensorStatus.RUNNING if watched else dg.DefaultSensorStatus.STOPPED


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the inbox; without the setting it has no path, and the sensor says so."""
    return dg.Definitions(
        resources=closed({"inbox": Inbox(path=from_environment(VARIABLE, values.Directory))})
    )
