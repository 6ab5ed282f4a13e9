"""Dagster's instance as the stack and the images use it; `dagster.yaml` names the class.

It needs only Dagster and its PostgreSQL storage, since webserver, daemon and user code all load it.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import sqlalchemy as sa
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterRun,
    DagsterRunStatus,
    EventLogEntry,
    Field,
    IntSource,
    RunsFilter,
)
from dagster._config import process_config
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterCodeLocationLoadError, DagsterUserCodeUnreachableError
from dagster._core.events import JobFailureData
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import WorkerStatus
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.daemon_cursor import DaemonCursorStorage
from dagster._core.storage.tags import WILL_RETRY_TAG

from dagma import no_pickles
from dagma.run_worker import BEGIN, END, TAG, Lease, database, end_with_parent, is_first

if TYPE_CHECKING:
    from dagster._daemon.types import DaemonHeartbeat

no_pickles.refuse()  # all processes of Dagster's load this module, before any run

#: In the environment of the stack's services, see `dagma.stack.environment`.
SUPERVISED = "DAGMA_SUPERVISED"
#: In a shell that evaluated `dagma env`, as `nix develop` does.
SHELL = "DAGMA_ENV"
#: Seconds for which Dagster's retry of a failed run is tried while its code location is away.
PATIENCE = 600.0

#: Days by the end of a tick, in the section `tick_retention_days`.
_TICKS = {end: Field(IntSource, is_required=False) for end in ("skipped", "failure", "success")}

_AWAY = (DagsterUserCodeUnreachableError, DagsterCodeLocationLoadError)
#: Names of the places of Dagster's EventLogConsumerDaemon.
_RETRIES = "EVENT_LOG_CONSUMER_CURSOR-"


def refuse_second_daemon() -> None:
    """Keep `dagster dev` and `dagster-daemon` of a development shell off the stack's instance.

    Raises:
        click.ClickException: It is one of them.
    """
    program = Path(sys.argv[0]).name
    second = program == "dagster-daemon" or sys.argv[1:2] == ["dev"]
    if second and SHELL in os.environ and SUPERVISED not in os.environ:
        raise click.ClickException(
            "DAGSTER_HOME is the stack's, whose daemon another one would disturb. Use the stack"
            " (`dagma up`, `dagma reload --watch`), or take an instance for this call only:"
            " `env -u DAGSTER_HOME dagster dev -m dagma.definitions`."
        )


def undo_dotenv() -> None:
    """Take back what Dagster's commands put over a service's environment from `.env`.

    Before they make the instance they read the file of the current directory by rules of their own:
    it wins over the environment, `$` has a meaning, and secrets go to every child. The stack has
    read it already, and started the service with what the service should have.
    """
    if SUPERVISED not in os.environ or not Path(".env").is_file():
        return
    import psutil  # not in the images, where no .env lies
    from dotenv import dotenv_values

    started_with = psutil.Process().environ()
    for name, value in dotenv_values(".env").items():
        if value is None or os.environ.get(name) != value:
            continue
        if name in started_with:
            os.environ[name] = started_with[name]
        else:
            del os.environ[name]


def _answers(connection: Any, *_pool: object) -> None:  # noqa: ANN401
    """Let a pool replace a connection that does not answer."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:  # whatever the driver calls it
        raise sa.exc.DisconnectionError from error


class Cursors(DaemonCursorStorage):
    """The daemons' places in the event log.

    The place of the daemon that retries runs stays where it is while a retry is open. What it then
    meets again has no effect: a run is retried once.
    """

    def __init__(self, instance: "Instance", storage: DaemonCursorStorage) -> None:
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


class Instance(DagsterInstance):
    """Dagster's instance; while it executes a run, it holds the run's lease."""

    #: The daemon could not retry a run since its code location is away.
    retry_is_open = False
    _lease: Lease | None = None

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401
        tick_retention_days: Mapping[str, Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        refuse_second_daemon()
        super().__init__(*arguments, **options)
        self._tick_retention = tick_retention_days
        undo_dotenv()

    @classmethod
    def config_schema(cls) -> Mapping[str, Any]:
        """Return the options in `dagster.yaml` that are not Dagster's own."""
        return {"tick_retention_days": Field(_TICKS, is_required=False)}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, Any]:
        """Return what holds where `dagster.yaml` is silent: Dagster's defaults."""
        return InstanceRef.config_defaults(base_dir)

    def get_tick_retention_settings(
        self, instigator_type: InstigatorType
    ) -> Mapping[TickStatus, int]:
        """Return the days after which ticks are removed; -1 means never.

        `tick_retention_days` wins over Dagster's section `retention`; variables that it names are
        read here, so only the daemon needs them.
        """
        days = super().get_tick_retention_settings(instigator_type)
        if self._tick_retention is None:
            return days
        read = process_config(_TICKS, self._tick_retention)
        if not read.success:
            raise DagsterInvalidConfigError(  # type: ignore[no-untyped-call]
                "tick_retention_days in dagster.yaml", read.errors, self._tick_retention
            )
        return {**days, **{TickStatus(name.upper()): n for name, n in (read.value or {}).items()}}

    def handle_new_event(self, event: EventLogEntry, **options: Any) -> None:  # noqa: ANN401
        """Store an event, as Dagster does; some are the beginning or the end of a lease."""
        kind = event.dagster_event.event_type if event.dagster_event else None
        if self._lease is None and (kind in BEGIN or is_first(event)):
            self._begin(event.run_id)
            if kind == DagsterEventType.STEP_WORKER_STARTED:
                threading.Thread(target=end_with_parent, daemon=True).start()
        super().handle_new_event(event, **options)
        if kind in END and self._lease is not None:
            self._end()

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """Add tags to a run, except the one by which the daemon gives up a retry too early.

        Its code server being away, as it is right after it was killed, is an error like any other to
        the daemon. The retry is left open instead, and the daemon meets the run again in five
        seconds, see `Cursors`.
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

    def add_daemon_heartbeat(self, daemon_heartbeat: "DaemonHeartbeat") -> None:
        """Note that a daemon works; when it is the monitor, each half minute, fail lost starting runs.

        The monitor itself asks the launcher about no run before it has started.
        """
        super().add_daemon_heartbeat(daemon_heartbeat)
        if daemon_heartbeat.daemon_type == "MONITORING":
            self._fail_lost_starts()

    def _fail_lost_starts(self) -> None:
        starting = [DagsterRunStatus.STARTING]
        for run in self.get_runs(RunsFilter(statuses=starting)):
            health = self.run_launcher.check_run_worker_health(run)
            now = self.get_run_by_id(run.run_id)
            if health.status == WorkerStatus.NOT_FOUND and now and now.status in starting:
                self.report_run_failed(run, health.msg)

    def report_run_failed(
        self,
        dagster_run: DagsterRun,
        message: str | None = None,
        job_failure_data: JobFailureData | None = None,
    ) -> DagsterEvent:
        """Fail a run from outside of its process, unless all its steps had succeeded.

        Such a run was killed before it could say so, and Dagster would refuse to run no step again.
        """
        if self._lease is not None or not self._is_all_done(dagster_run.run_id):
            return super().report_run_failed(dagster_run, message, job_failure_data)
        message = "All steps had succeeded when the run's process was lost."
        event = DagsterEvent(
            DagsterEventType.RUN_SUCCESS.value, dagster_run.job_name, message=message
        )
        self.report_dagster_event(event, run_id=dagster_run.run_id)
        return event

    def _is_all_done(self, run_id: str) -> bool:
        run = self.get_run_by_id(run_id)
        if run is None or run.status != DagsterRunStatus.STARTED:
            return False
        if run.execution_plan_snapshot_id is None:
            return False
        plan = self.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        events = self.all_logs(run_id, of_type=DagsterEventType.STEP_SUCCESS)
        done = {event.step_key for event in events}
        return bool(plan.step_keys_to_execute) and done.issuperset(plan.step_keys_to_execute)

    def optimize_for_webserver(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        """Keep connections open, as Dagster does; one that PostgreSQL has cut is replaced in time.

        Otherwise some requests after each restart of PostgreSQL end in an error.
        """
        sa.event.listen(sa.Pool, "checkout", _answers)
        super().optimize_for_webserver(*arguments, **options)

    def dispose(self) -> None:
        """Let go of everything."""
        if self._lease is not None:
            self._end()
        super().dispose()

    def _begin(self, run_id: str) -> None:
        engine = database(self)
        if engine is not None:
            self._lease = Lease(engine, run_id)
            self.add_run_tags(run_id, {TAG: f"{socket.gethostname()}:{os.getpid()}"})

    def _end(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end()
