"""What process 1 of the containers is for: SIGTERM at any moment, and orphans."""

import os
import signal
import time

import psutil
import pytest
from compose import OURS
from platform_client import wait_for

#: Seconds after the start of a container: before Python runs, while it imports, while it loads code.
MOMENTS = (0.0, 1.0, 3.0)


def stopped(compose, service, moment):
    """Start a container, stop it a moment later by SIGTERM; its status, and seconds until its end.

    `podman kill` notes only afterwards that this was no crash: what ends quickly is started again.
    """
    name = compose.container(service)
    assert compose.podman("stop", "--time=30", name).returncode == 0
    assert compose.podman("start", name).returncode == 0
    time.sleep(moment)
    began = time.monotonic()
    assert compose.podman("stop", "--time=30", name).returncode == 0
    return compose.inspect(service)["State"]["ExitCode"], time.monotonic() - began


@pytest.mark.parametrize("service", OURS)
def test_sigterm_ends_a_service_at_every_moment_of_its_start(compose, service):
    try:
        found = {moment: stopped(compose, service, moment) for moment in MOMENTS}
    finally:
        compose.podman("start", compose.container(service))
    assert found[0.0][0] == 143, found
    # It may be up already, or have a handler of its own: then that is a normal end.
    assert {code for code, _ in found.values()} <= {0, 143}, found
    assert max(seconds for _, seconds in found.values()) < 15, found
    wait_for(lambda: compose.healthy(service), 120, f"{service} healthy")


def test_orphans_of_a_run_that_was_killed_are_reaped(compose):
    wait_for(compose.location_is_loaded, 60, "the code location")
    first = psutil.Process(compose.inspect("user_code")["State"]["Pid"])
    before = {child.pid for child in first.children(recursive=True)}
    compose.launch_numbers()
    worker = wait_for(lambda: run_with_children(first, before), 60, "a run with its steps")
    inside = [worker, *worker.children(recursive=True)]
    os.kill(worker.pid, signal.SIGKILL)
    gone = {one.pid for one in inside}
    wait_for(lambda: not gone & {pid for pid in psutil.pids()}, 60, f"the end of {gone}")
    zombies = [one for one in first.children(recursive=True) if one.status() == "zombie"]
    assert zombies == []


def run_with_children(first, before):
    """The process of a new run, once it has started others."""
    for one in first.children(recursive=True):
        try:
            if one.pid not in before and len(one.children()) >= 2:
                return one
        except psutil.NoSuchProcess:
            continue
    return None
