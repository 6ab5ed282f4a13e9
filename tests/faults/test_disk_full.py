"""The disk is full for a while: all goes on by itself when there is room again."""

import time
from contextlib import suppress

import psycopg2
import pytest
from live_stack import wait_for
from under_fault import GROUP, RUN_BOUND, SERVICE_BOUND

from dagma.stack import supervisor

pytestmark = pytest.mark.stack


def fill(file):
    """Write until nothing can be written."""
    with file.open("ab", buffering=0) as ballast:
        for size in (2**20, 2**12, 1):
            with suppress(OSError):
                while True:
                    ballast.write(b"\0" * size)


def postgres_is_down(stack):
    """Whether PostgreSQL has ended; until then it is made to need new files for its log."""
    with suppress(psycopg2.Error):
        stack.live.rows("SELECT pg_logical_emit_message(false, '', 'x'), pg_switch_wal()")
    return not stack.processes()["postgres"].healthy


def experiment(stack, name):
    """The state of an experiment of MLflow's."""
    path = f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}"
    return stack.live.web("MLFLOW_PORT", path)


def test_a_full_disk_in_the_middle_of_a_run(small_disk, report, outage, repetition):
    stack = small_disk
    stack.wait_well()
    name = f"kept{repetition}"
    stack.live.web("MLFLOW_PORT", "/api/2.0/mlflow/experiments/create", {"name": name})
    line = report.line("disk full", "in a run")
    line.tried += 1
    line.lost += 2
    history, kept = stack.history(), experiment(stack, name)
    restarts = stack.restarts()["postgres"]
    ballast = stack.live.home / "ballast"
    with stack.held_run("apart") as held:
        queued = stack.launch("together")
        fill(ballast)
        wait_for(lambda: postgres_is_down(stack), SERVICE_BOUND, "the end of PostgreSQL")
        until = time.monotonic() + outage
        while time.monotonic() < until:
            fill(ballast)  # what a service has let go of
            time.sleep(1)
        code, said = stack.live.run("status")
        assert code == 3
        assert said.startswith(f"The disk is full: 0 MB are free at {stack.live.home}/postgres, ")
        assert "FAIL  The disk is full: " in stack.live.dagma("doctor", fails=True)
    ballast.unlink()
    back = time.monotonic()
    stack.wait_well()
    line.service_seconds = max(line.service_seconds, time.monotonic() - back)
    assert stack.restarts()["postgres"] - restarts <= 2, "it did not wait for room"
    wait_for(lambda: stack.done(held, queued), RUN_BOUND, f"success for {held} and {queued}")
    line.run_seconds = max(line.run_seconds, time.monotonic() - back)
    line.lost -= 2

    stack.check_processes()
    stack.check_history(history)
    stack.check_runs(held, queued)
    assert stack.duplicated() == []
    assert experiment(stack, name) == kept
    line.recovered += 1


def test_down_works_on_a_full_disk_and_up_refuses_it(small_disk):
    stack = small_disk
    stack.wait_well()
    partition = stack.launch("together")
    wait_for(lambda: stack.done(partition), RUN_BOUND, f"success for {partition}")
    history = stack.history()
    ballast = stack.live.home / "ballast"
    fill(ballast)
    wait_for(lambda: postgres_is_down(stack), SERVICE_BOUND, "the end of PostgreSQL")
    assert "Everything is stopped" in stack.live.dagma("down")
    assert supervisor.members(stack.live.home) == []
    assert "dagma: The disk is full: " in stack.live.dagma("up", "-d", GROUP, fails=True)
    ballast.unlink()
    stack.live.dagma("up", "-d", GROUP)
    stack.check_history(history)
