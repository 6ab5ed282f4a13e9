"""The inbox, from the setting DAGMA_INBOX."""

import os

import dagster as dg

from dagma.defs.ingestion.inbox import Inbox
from dagma.kit.closed import closed
from dagma.kit.from_environment import from_environment

VARIABLE = "DAGMA_INBOX"


def default_status() -> dg.DefaultSensorStatus:
    """Whether the sensor starts by itself: where there is an inbox to watch."""
    watched = bool(os.environ.get(VARIABLE))
    return dg.DefaultSensorStatus.RUNNING if watched else dg.DefaultSensorStatus.STOPPED


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the inbox; without the setting it has no path, and the sensor says so."""
    return dg.Definitions(resources=closed({"inbox": Inbox(path=from_environment(VARIABLE))}))
