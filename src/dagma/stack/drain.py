"""Runs at the end of a stack: they finish, or they are ended and run again after the next start.

The daemon is stopped first: from then on no run is taken from the queue. What it does besides, failing
runs whose process is gone, waits for the next start; here such runs are just not waited for.

Dagster and its database are used in this process. All of it is best effort: a database that does not
answer must not keep a stack from being stopped.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagma.errors import NotRunning
from dagma.stack.control import Stack

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun, RunsFilter

#: Seconds between two looks at the runs.
PERIOD = 1.0
#: Seconds between two lines about runs that go on.
REMINDER = 30.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """A run in progress; `since` is when it began, in seconds since 1970."""

    run_id: str
    job: str
    since: float

    def __str__(self) -> str:
        """How the user finds it: the beginning of its id, as in the web interface, and its job."""
        job = "of assets" if self.job.startswith("__ASSET_JOB") else f"of {self.job}"
        return f"run {self.run_id[:8]} {job}"


class Drain:
    """The runs of a stack from the moment on in which no new one begins."""

    def __init__(self, stack: Stack, say: Say) -> None:
        """Stop the daemon."""
        self._stack = stack
        self._say = say
        self._instance: DagsterInstance | None = None
        self._holds_runs = False
        try:
            found = stack.supervisor.processes()
            self._holds_runs = found["user_code"].pid is not None
            if found["daemon"].pid is not None:
                stack.supervisor.stop_process("daemon")
        except NotRunning:
            pass

    def wait(self, timeout: float) -> None:
        """Wait until no run is in progress.

        Args:
            timeout: Seconds after which those that are left are not waited for.
        """
        begun = told = time.monotonic()
        known: dict[str, Run] = {}
        while runs := self._runs():
            now = time.monotonic()
            new = [run for run in runs.values() if run.run_id not in known]
            for run in new or (list(runs.values()) if now - told > REMINDER else []):
                self._say(
                    f"Waiting for {run}, in progress for {_duration(time.time() - run.since)}."
                )
                told = now
            self._say_ended(known, runs)
            if now - begun >= timeout:
                self._say(f"Not waited for any longer, after {_duration(timeout)}.")
                return
            known = runs
            time.sleep(PERIOD)
        self._say_ended(known, {})

    def stop(self, reason: str) -> None:
        """Mark the runs that are still in progress; the end of the code server will end them.

        Dagster then fails them, and starts them again after the next start as `run_retries` in
        `dagster.yaml` says. An end on purpose is none of the retries that it counts.

        Args:
            reason: What ends them, for the run's log.
        """
        for run in self._runs().values():
            try:
                then = self._mark(run, reason)
            except (
                Exception
            ) as error:  # of many libraries; none may keep a stack from being stopped
                self._say(f"The end of {run} could not be noted: {error}")
            else:
                self._say(f"Ended {run}. {then}")

    def _mark(self, found: Run, reason: str) -> str:
        from dagster import DagsterRunStatus

        from dagma.instance.dagster_private import MAX_RETRIES_TAG

        instance = self._connected()
        run = instance.get_run_by_id(found.run_id)
        if run is None:
            return "It is deleted."
        limit = run.tags.get(MAX_RETRIES_TAG, str(instance.run_retries_max_retries))
        counts = instance.run_retries_enabled and limit.isdigit() and int(limit) > 0
        again = counts and run.status != DagsterRunStatus.CANCELING
        if again:
            instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: str(int(limit) + 1)})
        then = "It is run again after the next start." if again else "It is not run again."
        instance.report_engine_event(f"{reason} ended this run on purpose. {then}", run)
        return then

    def resume(self) -> None:
        """Let runs be taken from the queue again."""
        self._stack.supervisor.start("daemon")

    def _say_ended(self, known: dict[str, Run], runs: dict[str, Run]) -> None:
        for run in known.values():
            if run.run_id not in runs:
                took = _duration(time.time() - run.since)
                self._say(f"Ended by itself: {run}, after {took}.")

    def _runs(self) -> dict[str, Run]:
        """The runs in progress by id, without those whose process is gone."""
        if not self._holds_runs:
            return {}
        try:
            instance = self._connected()
            records = instance.get_run_records(_begun())
            return {
                record.dagster_run.run_id: Run(
                    record.dagster_run.run_id,
                    record.dagster_run.job_name,
                    record.start_time or record.create_timestamp.timestamp(),
                )
                for record in records
                if _lives(instance, record.dagster_run)
            }
        except Exception as error:  # as above
            self._say(f"Dagster's runs cannot be read, so none is waited for: {error}")
            self._holds_runs = False
            return {}

    def _connected(self) -> "DagsterInstance":
        if self._instance is None:
            from dagma.stack import instance

            self._instance = instance.connect(self._stack.loaded)
        return self._instance


def _begun() -> "RunsFilter":
    from dagster import DagsterRunStatus, RunsFilter

    begun = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
    return RunsFilter(statuses=list(begun))


def _lives(instance: "DagsterInstance", run: "DagsterRun") -> bool:
    """Whether a run has a process, as far as one can know."""
    from dagma.instance.dagster_private import WorkerStatus

    launcher = instance.run_launcher
    if not launcher.supports_check_run_worker_health:
        return True
    return launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def _duration(seconds: float) -> str:
    """Seconds as a user reads them: 42 s, 3 min 5 s, 2 h 7 min."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
