"""The stack under fault: launching counted runs, and what has to hold after every kill."""

import itertools
import re
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg2
from live_stack import LiveStack, wait_for
from qdrant_server import PROGRAM

from dagma.errors import StackError
from dagma.stack import supervisor
from dagma.stack.supervisor import Process, Supervisor

#: With Qdrant's server, where there is a program.
GROUP = "full" if PROGRAM else "data"
#: Of the code location: a process for the asset's step, and all in the run's own process.
JOBS = ("apart", "together")
SERVICES = (
    "postgres",
    "user_code",
    "webserver",
    "daemon",
    "mlflow",
    *(["qdrant"] if PROGRAM else []),
)
#: Seconds in which services have to be healthy again.
SERVICE_BOUND = 60.0
#: Seconds in which a process without a service has to be gone. Loaded code ends itself when it was
#: not asked for its health for 30 s, and looks every 30 s.
STRAY_BOUND = 75.0
#: Seconds in which a run in progress has to have ended well, by itself or by its retry. A lost
#: process counts from 30 s after the start of PostgreSQL, and a run takes some seconds.
RUN_BOUND = 120.0
FINAL = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True)
class Run:
    """A row of the table `runs`."""

    run_id: str
    partition: str
    status: str


@dataclass
class StackUnderFault:
    """The running stack, and the folder in which executions leave their files."""

    live: LiveStack
    folder: Path
    partitions: Iterator[str] = field(
        default_factory=lambda: (f"p{number:04}" for number in itertools.count())
    )

    _strays_since: dict[int, float] = field(default_factory=dict)

    # What the services say.

    def processes(self) -> dict[str, Process]:
        """The services as process-compose sees them; none while it does not answer."""
        try:
            return Supervisor(self.live.home / "run/process-compose.sock").processes()
        except StackError:
            return {}

    def healthy(self) -> bool:
        found = self.processes()
        return bool(found) and all(found[name].healthy for name in SERVICES)

    def restarts(self) -> dict[str, int]:
        """How often each service was started again."""
        found = self.processes()
        return {name: found[name].restarts for name in SERVICES}

    def serves(self) -> bool:
        """Whether the code location is served, asked through the webserver and of the code itself."""
        try:
            return self.live.location_is_loaded() and bool(self.repositories())
        except (AssertionError, OSError, urllib.error.URLError):
            return False

    def repositories(self) -> Any:
        """What the process that has loaded the code answers, or None."""
        from dagster._core.errors import DagsterUserCodeUnreachableError
        from dagster._grpc.client import DagsterGrpcClient

        client = DagsterGrpcClient(socket=quote(str(self.live.home / "run/code/server")))
        try:
            return client.list_repositories()
        except DagsterUserCodeUnreachableError:
            return None

    def wait_well(self) -> None:
        wait_for(lambda: self.healthy() and self.serves(), SERVICE_BOUND, "all services back")

    def strays(self) -> list[psutil.Process]:
        """Processes of the stack that process-compose does not know."""
        members = {process.pid: process for process in supervisor.members(self.live.home)}
        for process in list(members.values()):
            with suppress(psutil.NoSuchProcess):
                if process.name() == "process-compose":
                    for known in [process, *process.children(recursive=True)]:
                        members.pop(known.pid, None)
        return [process for process in members.values() if process.is_running()]

    def postmasters(self) -> list[int]:
        """Ids of the PostgreSQL servers, without their children."""
        found = {}
        for process in supervisor.members(self.live.home):
            with suppress(psutil.NoSuchProcess):
                if process.cmdline()[:2] == ["postgres", "-D"]:  # a new child is called so as well
                    found[process.pid] = process.ppid()
        return [pid for pid, parent in found.items() if parent not in found]

    # Runs.

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of Dagster's database, tried again while it is down."""
        deadline = time.monotonic() + SERVICE_BOUND
        while True:
            try:
                return self.live.rows(query, *values)
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def launch(self, job: str) -> str:
        """Queue a run of the next partition; the partition."""
        partition = next(self.partitions)
        self.live.launch(
            {
                "repositoryLocationName": "dagma",
                "repositoryName": "__repository__",
                "jobName": job,
            },
            tags={"dagster/partition": partition},
        )
        return partition

    def runs(self, *partitions: str) -> list[Run]:
        """The runs of these partitions, of all when none is named, oldest first."""
        found = self.rows(
            "SELECT r.run_id, t.value, r.status FROM runs r JOIN run_tags t USING (run_id)"
            " WHERE t.key = 'dagster/partition' ORDER BY r.id"
        )
        return [Run(*row) for row in found if not partitions or row[1] in partitions]

    def files(self, kind: str, partition: str = "p*") -> list[str]:
        """The files of one kind that executions have left."""
        return sorted(path.name for path in self.folder.glob(f"{kind}-{partition}-*"))

    @contextmanager
    def held_run(self, job: str) -> Iterator[str]:
        """A run whose asset waits for as long as the block lasts; its partition."""
        partition = next(self.partitions)
        self.partitions = itertools.chain([partition], self.partitions)
        hold = self.folder / f"hold-{partition}"
        hold.touch()
        try:
            self.launch(job)
            wait_for(lambda: self.files("began", partition), RUN_BOUND, "the asset")
            yield partition
        finally:
            hold.unlink()

    @contextmanager
    def starting_run(self, job: str) -> Iterator[str]:
        """A run whose process loads the code for as long as the block lasts; its partition."""
        hold = self.folder / "hold-code"
        hold.touch()
        try:
            partition = self.launch(job)
            [run] = self.runs(partition)
            wait_for(lambda: self.worker(run.run_id), RUN_BOUND, "the run's process")
            yield partition
        finally:
            hold.unlink(missing_ok=True)

    def worker(self, run_id: str) -> int | None:
        """The process of a run, as it said itself; None before it did."""
        said = self.rows(
            "SELECT event FROM event_logs WHERE run_id = %s AND event LIKE '%%Started process for%%'",
            run_id,
        )
        found = re.search(r"Started process for run \(pid: (\d+)\)", said[0][0]) if said else None
        return int(found[1]) if found else None

    def reason(self, run_id: str) -> str:
        """What the log of a failed run states."""
        rows = self.rows(
            "SELECT event FROM event_logs WHERE run_id = %s AND dagster_event_type = 'PIPELINE_FAILURE'",
            run_id,
        )
        return "\n".join(str(row[0]) for row in rows)

    def done(self, *partitions: str) -> bool:
        """Whether the last run of each partition, of all when none is named, succeeded."""
        last = {run.partition: run.status for run in self.runs(*partitions)}
        return bool(last) and all(status == "SUCCESS" for status in last.values())

    # What has to hold.

    def history(self) -> tuple[dict[str, str], dict[int, str]]:
        """Ended runs with their state, and the digest of every event."""
        runs = dict(self.rows("SELECT run_id, status FROM runs WHERE status = ANY(%s)", [*FINAL]))
        events = dict(self.rows("SELECT id, md5(event) FROM event_logs"))
        return runs, events

    def check_history(self, earlier: tuple[dict[str, str], dict[int, str]]) -> None:
        """All that was there is there, unchanged."""
        for before, now in zip(earlier, self.history(), strict=True):
            assert before.items() <= now.items(), "history was lost or changed"

    def check_processes(self) -> None:
        """One database server, and no process that is without a service for too long."""
        assert len(self.postmasters()) == 1, self.postmasters()
        now = time.monotonic()
        strays = {process.pid: process for process in self.strays()}
        self._strays_since = {pid: self._strays_since.get(pid, now) for pid in strays}
        overdue = [
            strays[p] for p, since in self._strays_since.items() if now - since > STRAY_BOUND
        ]
        assert overdue == [], f"nobody's processes: {overdue}"

    def check_runs(self, *partitions: str) -> None:
        """No run of these partitions, of any when none is named, is in progress; failures say why."""
        runs = self.runs(*partitions)
        in_progress = [run for run in runs if run.status not in FINAL]
        assert in_progress == [], f"still in progress: {in_progress}"
        failed = [run for run in runs if run.status != "SUCCESS"]
        unexplained = [run for run in failed if not self.reason(run.run_id)]
        assert unexplained == [], f"without a reason: {unexplained}"

    def lost(self) -> list[str]:
        """Partitions that no run has materialized, or whose last run is no success."""
        last = {run.partition: run.status for run in self.runs()}
        return [partition for partition, status in last.items() if status != "SUCCESS"]

    def duplicated(self) -> list[str]:
        """What was done twice: partitions with several successful runs, and overlapping executions.

        An execution that was killed is repeated by the retry, of course, from its beginning if it
        could not yet say that it was done: what never may be is a second execution while the first
        one lives, or after it has succeeded.
        """
        succeeded = [run.partition for run in self.runs() if run.status == "SUCCESS"]
        twice = {partition for partition in succeeded if succeeded.count(partition) > 1}
        steps = self.rows(
            "SELECT t.value FROM event_logs e JOIN run_tags t USING (run_id)"
            " WHERE t.key = 'dagster/partition' AND e.dagster_event_type = 'STEP_SUCCESS'"
            " GROUP BY t.value HAVING count(*) > 1"
        )
        return [*sorted(twice), *(partition for (partition,) in steps), *self.files("overlap")]
