"""Runs whose process died are noticed: a lease in PostgreSQL for as long as a run's process lives.

Dagster's default launcher cannot say whether a run still has a process, so a run whose code server was
killed stays STARTED for ever. Here the process that executes a run holds an advisory lock of its
database session. PostgreSQL lets go of it the moment the process is gone, however that came about; a
process that is merely busy keeps it. This works across hosts and containers, after a reload of the
code, and asks no code server, which would know only the runs of its newest process.

`dagster.yaml` names the launcher; `dagma.instance` takes the leases.
"""

import hashlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import sqlalchemy as sa
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DefaultRunLauncher, EventLogEntry
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus

log = logging.getLogger(__name__)

#: Tag of a run that has, or had, a lease: the host and process that execute it. Dagster's web
#: interface hides tags that begin with ".dagster/".
TAG = ".dagster/dagma/run_worker"
#: Seconds for which a lease must be missing; a lost connection is replaced sooner than that.
GRACE = 4.0
#: Seconds after the start of PostgreSQL in which a missing lease means nothing: workers may still
#: be connecting again.
SETTLING = 30.0
#: Seconds that a step has to clean up when its run's process is gone; a retry begins after some more.
LAST_WORDS = 2.0
#: Seconds between two looks of a worker at its own connection.
PULSE = 1.0

#: The run's own process, from its very first event on, and each process of a step, hold the lease
#: together: as long as one of them works, starting the run again would do things twice.
BEGIN = (DagsterEventType.RUN_START, DagsterEventType.STEP_WORKER_STARTED)
END = (DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED)


def lock_key(run_id: str) -> int:
    """Return the key of a run's advisory lock: 64 bits with a sign, as PostgreSQL wants it."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], signed=True)


def database(instance: DagsterInstance) -> sa.Engine | None:
    """Return how the instance's database is reached, one session per connection; None without one."""
    url: str | None = getattr(instance.run_storage, "postgres_url", None)
    if url is None:
        return None
    alive = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5}
    return sa.create_engine(
        url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args=alive
    )


def is_first(event: EventLogEntry) -> bool:
    """Whether it is the first event of a run's process, which then loads the code."""
    said = event.dagster_event.message if event.dagster_event else None
    return said == f"Started process for run (pid: {os.getpid()})."


def end_with_parent() -> None:
    """End this process, that of a step, when that of its run is gone: the run is soon run again.

    The code server fails a run as soon as it sees its process end, whoever else holds the lease.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_WORDS)
        os.kill(os.getpid(), signal.SIGKILL)


class Lease:
    """One process' part in the lease of one run."""

    def __init__(self, engine: sa.Engine, run_id: str) -> None:
        """Take the lease; when the database does not answer, the thread goes on trying."""
        self._engine = engine
        self._key = lock_key(run_id)
        self._over = threading.Event()
        self._link: sa.Connection | None = None
        self._look()
        self._thread = threading.Thread(target=self._keep, name=f"lease {run_id}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Give the lease back."""
        self._over.set()
        self._thread.join(timeout=10)
        if self._link is not None:
            self._link.close()

    def _keep(self) -> None:
        while not self._over.wait(PULSE):
            self._look()

    def _look(self) -> None:
        """Connect and lock, or see that the session still answers."""
        try:
            if self._link is None:
                self._link = self._engine.connect()
                self._link.execute(sa.select(sa.func.pg_advisory_lock_shared(self._key)))
            else:
                self._link.execute(sa.text("SELECT 1"))
        except sa.exc.SQLAlchemyError as error:
            log.warning("The lease of this run is being taken again: %s", error)
            if self._link is not None:
                self._link.invalidate()
                self._link.close()
                self._link = None


class RunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, which also knows whether a run still has a process."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self._engine: sa.Engine | None = None
        #: Run -> when its lease was first seen missing, in seconds of the monotonic clock.
        self._missing: dict[str, float] = {}

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Let `run_monitoring` ask."""
        return True

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run, which has no process yet: not that of an earlier try, nor its parent's."""
        run = context.dagster_run
        if run.tags.get(TAG):
            self._instance.add_run_tags(run.run_id, {TAG: ""})
        super().launch_run(context)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Say whether a run that claims to be running has a process.

        Dagster fails a run for every answer but RUNNING and SUCCESS, so what cannot be known (the
        run began without a lease, the database is just back) is RUNNING too.
        """
        if not run.tags.get(TAG) or not self._lease_is_free(run.run_id):
            self._missing.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        missing = time.monotonic() - self._missing.setdefault(run.run_id, time.monotonic())
        if missing < GRACE:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        del self._missing[run.run_id]
        message = f"The process {run.tags[TAG]} that executed the run is gone."
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, message)

    def _lease_is_free(self, run_id: str) -> bool:
        """Whether nobody holds a lease, and everybody had the time to take it again."""
        self._engine = self._engine or database(self._instance)
        if self._engine is None:
            return False
        # A clock that was set back beyond the start says nothing, which must not last for hours.
        settled = sa.text(
            "SELECT now() - pg_postmaster_start_time()"
            " NOT BETWEEN interval '0' AND :s * interval '1 second'"
        )
        with self._engine.connect() as link:
            # The lock that this takes when nobody has the other ends with the session.
            free = link.scalar(sa.select(sa.func.pg_try_advisory_lock(lock_key(run_id))))
            return bool(free) and bool(link.scalar(settled, {"s": SETTLING}))
