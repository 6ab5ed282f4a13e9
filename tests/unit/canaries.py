"""What Dagster's processes say and do, tried: each asserts that it is no longer as Dagma knows it.

Dagster's own functions are called, on an instance of ours with SQLite, and no code server.
"""

import inspect
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution import retries
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon import daemon
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.monitoring import run_monitoring
from dagster._grpc import impl, server
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import ExecuteExternalJobArgs
from dagster._serdes import serialize_value

from dagma import code_server
from dagma.instance import leases, lost_starts
from dagma.instance.dagster_private import MAX_RETRIES_TAG, WILL_RETRY_TAG

_YAML = """
instance_class: {module: dagma.instance, class: Instance}
run_retries: {enabled: true, max_retries: 1}
telemetry: {enabled: false}
"""


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job(executor_def=dg.in_process_executor)
def tiny() -> None:
    """A job of one step, in one process."""
    nothing()


@dg.job
def spread() -> None:
    """The same with a process for the step."""
    nothing()


def rewritten(place: str, old: str, new: str) -> Any:
    """A function of Dagster's with other text in it.

    Args:
        place: Module, class if any, and name of the function.
        old: What is in its source.
        new: What is there instead.
    """
    module, _, name = place.rpartition(".")
    owner: Any = None
    try:
        owner = import_module(module)
    except ImportError:
        above, _, within = module.rpartition(".")
        owner = getattr(import_module(above), within)
    function = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source
    made: dict[str, Any] = {}
    plain = inspect.unwrap(getattr(function, "__func__", function))
    exec(compile(source.replace(old, new), place, "exec"), plain.__globals__ | {}, made)
    return made[function.__name__]


def the_first_event_is_recognised(home: Path) -> None:
    """The process of a run says so before it loads the code, in a sentence with its own id."""
    with _instance(home) as instance:
        run = instance.create_run_for_job(tiny)
        asked = ExecuteExternalJobArgs(
            job_origin=_job_away(), run_id=run.run_id, instance_ref=instance.get_ref()
        )
        impl._run_in_subprocess(
            serialize_value(asked),
            ReconstructableJob.for_file(__file__, "tiny"),
            multiprocessing.Event(),
            subprocess_status_handler=lambda _: None,
            run_event_handler=lambda _: None,
        )
        events = [entry for entry in instance.all_logs(run.run_id) if entry.dagster_event]
        said = [entry.dagster_event.message for entry in events]
        first = [index for index, entry in enumerate(events) if leases.is_first(entry)]
        kinds = [entry.dagster_event.event_type for entry in events]
        assert first == [0], f"the first event of a run's process is not recognised: {said}"
        assert leases.BEGIN[0] in kinds, "a run does not begin with an event that is known"
        assert leases.END[0] in kinds, "a run does not end with an event that is known"


def a_step_has_a_process_that_says_so(home: Path) -> None:
    """The process of a step says that it begins, and has that of its run as its parent."""
    with _instance(home) as instance:
        done = dg.execute_job(ReconstructableJob.for_file(__file__, spread.name), instance)
        assert done.success
        kind = dg.DagsterEventType.STEP_WORKER_STARTED
        begun = [event for event in done.all_events if event.event_type == kind]
        assert len(begun) == 1, "no STEP_WORKER_STARTED of a step's process"
        assert begun[0].pid != os.getpid(), "STEP_WORKER_STARTED is said by the run's process"


def a_retry_is_given_up_while_the_error_is_handled(home: Path) -> None:
    """The daemon sets a tag while it handles the error, then notes its place in the event log."""
    with _instance(home) as instance, _workspace(instance) as workspace:
        daemon_of_retries = EventLogConsumerDaemon()
        list(daemon_of_retries.run_iteration(workspace))  # notes where the log is
        run = instance.create_run_for_job(tiny, remote_job_origin=_job_away())
        instance.report_run_failed(run)
        for _ in range(2):
            list(daemon_of_retries.run_iteration(workspace))
        found = instance.get_run_by_id(run.run_id)
        assert found and found.tags[WILL_RETRY_TAG] == "true", f"{WILL_RETRY_TAG} is given up"
        said = [entry.message for entry in instance.all_logs(run.run_id)]
        tries = said.count("Failed to retry run")
        assert tries == 2, f"the place in the event log is not kept: {tries} tries, {said}"


def the_monitor_has_its_name(_home: Path) -> None:
    """The daemon that looks after runs calls itself so in its heartbeats."""
    name = daemon.MonitoringDaemon.daemon_type()
    assert name == lost_starts.MONITOR, f"the monitor calls itself {name!r}"


def only_a_lost_run_is_failed(home: Path) -> None:
    """The monitor asks the launcher about each run that has started, and leaves a RUNNING one alone."""
    ends = {WorkerStatus.RUNNING: "STARTED", WorkerStatus.NOT_FOUND: "FAILURE"}
    with _instance(home) as instance, _workspace(instance) as workspace:
        for health, expected in ends.items():
            run = instance.create_run_for_job(tiny, status=dg.DagsterRunStatus.STARTED)
            instance._run_launcher = _Knowing(health)
            record = instance.get_run_record_by_id(run.run_id)
            assert record
            context = workspace.create_request_context()
            run_monitoring.monitor_started_run(instance, context, record, logging.getLogger())
            found = instance.get_run_by_id(run.run_id)
            status = found.status.value if found else "gone"
            assert status == expected, f"a run whose worker is {health.value} becomes {status}"


def a_tag_says_how_often_a_run_is_retried(home: Path) -> None:
    """As often as the instance's setting says, unless the run has the tag."""
    expected = {None: True, "0": False, "1": True}
    with _instance(home) as instance:
        for limit, again in expected.items():
            tags = {MAX_RETRIES_TAG: limit} if limit else {}
            status = dg.DagsterRunStatus.FAILURE
            run = instance.create_run_for_job(tiny, tags=tags, status=status)
            found = retries.auto_reexecution_should_retry_run(instance, run, None)
            assert found == again, f"{MAX_RETRIES_TAG}={limit}: retried {found}"


def a_killed_server_is_named(home: Path) -> None:
    """The code server keeps a sentence about a child that was killed before it had loaded the code."""
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    client = DagsterGrpcClient(socket=str(home / "none"))
    said = ""
    try:
        server.wait_for_grpc_server(killed, client, ["a", "command"])
    except Exception as error:
        said = str(error)
    assert said.startswith(code_server.KILLED), f"about a killed code server is said: {said}"


class _Knowing(dg.DefaultRunLauncher):
    """A launcher that knows one thing about every run."""

    supports_check_run_worker_health = True

    def __init__(self, health: WorkerStatus) -> None:
        super().__init__()
        self._health = health

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        return CheckRunHealthResult(self._health)


def _instance(home: Path) -> dg.DagsterInstance:
    (home / "dagster.yaml").write_text(_YAML)
    return dg.DagsterInstance.from_config(str(home))


def _away() -> GrpcServerCodeLocationOrigin:
    """A code location where nothing listens."""
    return GrpcServerCodeLocationOrigin(host="localhost", socket="/nowhere", location_name="away")


def _job_away() -> RemoteJobOrigin:
    return RemoteJobOrigin(RemoteRepositoryOrigin(_away(), "__repository__"), "tiny")


def _workspace(instance: dg.DagsterInstance) -> WorkspaceProcessContext:
    target = GrpcServerTarget("localhost", None, "/nowhere", "away")
    return WorkspaceProcessContext(instance, target)
