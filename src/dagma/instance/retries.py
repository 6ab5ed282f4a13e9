"""The retry of a failed run waits while its code location is away.

Changes: `DagsterInstance.add_run_tags` and `daemon_cursor_storage`. To Dagster's daemon the code server
being away, as it is right after it was killed, is an error like any other: it marks the run as one that
is not retried, and its place in the event log moves on.
https://github.com/dagster-io/dagster/issues/14605, https://github.com/dagster-io/dagster/issues/20730.

It is recognised by a sequence: the tag "will not be retried" is set while such an error is handled, and
then the daemon notes its place.
"""

import sys
import time
from collections.abc import Mapping

from dagster import DagsterInstance

from dagma.instance.dagster_private import (
    WILL_RETRY_TAG,
    DaemonCursorStorage,
    DagsterCodeLocationLoadError,
    DagsterUserCodeUnreachableError,
)

#: Seconds for which Dagster's retry of a failed run is tried while its code location is away.
PATIENCE = 600.0

_AWAY = (DagsterUserCodeUnreachableError, DagsterCodeLocationLoadError)
#: Names of the places of Dagster's EventLogConsumerDaemon.
_RETRIES = "EVENT_LOG_CONSUMER_CURSOR-"


class Cursors(DaemonCursorStorage):
    """The daemons' places in the event log.

    The place of the daemon that retries runs stays where it is while a retry is open. What it then
    meets again has no effect: a run is retried once.
    """

    def __init__(self, instance: "PatientRetries", storage: DaemonCursorStorage) -> None:
        self._instance = instance
        self._storage = storage

    def get_cursor_values(self, keys: set[str]) -> Mapping[str, str]:
        """Return the places that were noted."""
        return self._storage.get_cursor_values(keys)

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Note places."""
        if self._instance.retry_is_open and all(key.startswith(_RETRIES) for key in pairs):
            self._instance.retry_is_open = False
        else:
            self._storage.set_cursor_values(pairs)


class PatientRetries(DagsterInstance):
    """An instance whose daemon tries a retry again while it cannot reach the code."""

    #: The daemon could not retry a run since its code location is away.
    retry_is_open = False

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """Add tags to a run, except the one by which the daemon gives up a retry too early.

        The retry is left open instead, and the daemon meets the run again in five seconds, see
        `Cursors`.
        """
        away = isinstance(sys.exception(), _AWAY)
        if away and dict(new_tags) == {WILL_RETRY_TAG: "false"} and self._failed_just_now(run_id):
            self.retry_is_open = True
        else:
            super().add_run_tags(run_id, new_tags)

    @property
    def daemon_cursor_storage(self) -> DaemonCursorStorage:
        """Where the daemons note how far they have come."""
        return Cursors(self, super().daemon_cursor_storage)

    def _failed_just_now(self, run_id: str) -> bool:
        record = self.get_run_record_by_id(run_id)
        return bool(record and record.end_time and time.time() - record.end_time < PATIENCE)
