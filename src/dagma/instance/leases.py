"""Runs whose process died are noticed: a lease in PostgreSQL for as long as a run's process lives.

Dagster's default launcher cannot say whether a run still has a process, so a run whose code server was
killed stays STARTED for ever. Here the process that executes a run holds an advisory lock of its
database session. PostgreSQL lets go of it the moment the process is gone, however that came about; a
process that is merely busy keeps it. This works across hosts and containers, after a reload of the
code, and asks no code server, which would know only the runs of its newest process.

Changes: `DagsterInstance.handle_new_event`, whose events say when a process takes the lease and gives it
back, and `dispose`. The first event of a run's process is recognised by its sentence. `launcher` asks for
the lease. https://github.com/dagster-io/dagster/issues/4319.
"""

import hashlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from typing import Any

import sqlalchemy as sa
from dagster import DagsterEventType, DagsterInstance, EventLogEntry

log = logging.getLogger(__name__)

#: Tag of a run that has, or had, a lease: the host and process that execute it. Dagster's web
#: interface hides tags that begin with ".dagster/".
TAG = ".dagster/dagma/run_worker"
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


class LeasedRuns(DagsterInstance):
    """An instance that holds the lease of the run that its process executes."""

    _lease: Lease | None = None

    @property
    def executes_run(self) -> bool:
        """Whether this process executes a run, or a step of one."""
        return self._lease is not None

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
