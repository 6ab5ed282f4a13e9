"""The launcher of runs that knows whether a run still has a process; `dagster.yaml` names it.

Changes: `DefaultRunLauncher.check_run_worker_health`, which Dagster's own launcher does not have, and
`launch_run`. Why, and by what it knows, is in `dagma.instance.leases`.
"""

import time
from typing import Any

import sqlalchemy as sa
from dagster import DagsterRun, DefaultRunLauncher

from dagma.instance.dagster_private import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagma.instance.leases import TAG, database, lock_key

#: Seconds for which a lease must be missing; a lost connection is replaced sooner than that.
GRACE = 4.0
#: Seconds after the start of PostgreSQL in which a missing lease means nothing: workers may still
#: be connecting again.
SETTLING = 30.0


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
