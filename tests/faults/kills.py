"""What is killed, each with SIGKILL."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil
from live_stack import wait_for
from qdrant_server import PROGRAM
from under_fault import GROUP, SERVICE_BOUND, StackUnderFault

from dagma.stack import supervisor
from dagma.stack.supervisor import Process


@dataclass(frozen=True)
class Fault:
    """One kind of kill.

    Attributes:
        name: In the report.
        kill: Does it; the second argument is a run in progress, None at idle.
        spares_runs: A run in progress goes on as if nothing had happened.
        needs_run: There is nothing to kill at idle.
        ends_starting_run: A run that is loading its code is ended.
    """

    name: str
    kill: Callable[[StackUnderFault, str | None], None]
    spares_runs: bool = False
    needs_run: bool = False
    ends_starting_run: bool = False


def _running(stack: StackUnderFault, service: str) -> Process:
    """A service that has a process, which it may not have yet after another kill."""

    def found() -> Process | None:
        process = stack.processes().get(service)
        return process if process and process.pid else None

    return wait_for(found, SERVICE_BOUND, f"a process of {service}")


def _kill_service(
    service: str, group: bool = False
) -> Callable[[StackUnderFault, str | None], None]:
    """Kill a service's process, or its whole group, and wait until it is counted as restarted."""

    def kill(stack: StackUnderFault, _run: str | None) -> None:
        before = _running(stack, service)
        with suppress(ProcessLookupError):  # an earlier kill was quicker
            (os.killpg if group else os.kill)(before.pid, signal.SIGKILL)

        def restarted() -> bool:
            found = stack.processes()
            return service in found and found[service].restarts > before.restarts

        wait_for(restarted, SERVICE_BOUND, f"a restart of {service}")

    return kill


def _kill_loaded_code(stack: StackUnderFault, _run: str | None) -> None:
    """Kill the process that has loaded the code, a child of the code server's."""

    def children() -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(_running(stack, "user_code").pid).children()
            return [one for one in found if {"api", "grpc"} <= set(one.cmdline())]
        return []

    wait_for(children, SERVICE_BOUND, "loaded code")[0].kill()


def _kill_run(stack: StackUnderFault, run_id: str | None) -> None:
    assert run_id is not None
    pid = stack.worker(run_id)
    assert pid is not None
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, signal.SIGKILL)


def _kill_supervisor(stack: StackUnderFault, _run: str | None) -> None:
    """Kill process-compose; nobody watches it, so `dagma up` is what a user does next."""
    for process in supervisor.members(stack.live.home):
        with suppress(psutil.NoSuchProcess):
            if process.name() == "process-compose":
                process.kill()
                process.wait(timeout=SERVICE_BOUND)
    stack.live.dagma("up", "-d", GROUP)


FAULTS = (
    Fault("postgres", _kill_service("postgres")),
    Fault(
        "user_code and all its processes",
        _kill_service("user_code", group=True),
        ends_starting_run=True,
    ),
    Fault("user_code alone", _kill_service("user_code"), spares_runs=True),
    Fault("the loaded code", _kill_loaded_code),
    Fault("webserver", _kill_service("webserver"), spares_runs=True),
    Fault("daemon", _kill_service("daemon"), spares_runs=True),
    Fault("mlflow", _kill_service("mlflow"), spares_runs=True),
    *([Fault("qdrant", _kill_service("qdrant"), spares_runs=True)] if PROGRAM else []),
    Fault("process-compose", _kill_supervisor),
    Fault("the run's process", _kill_run, needs_run=True, ends_starting_run=True),
)
