"""The database is away for a while: all goes on by itself when it is back."""

import os
import signal
import time

import pytest
from live_stack import wait_for
from outages import OUTAGES, stopped
from under_fault import JOBS, RUN_BOUND, SERVICE_BOUND

pytestmark = pytest.mark.stack

#: What uses the database from its start on.
USERS = ("webserver", "daemon", "mlflow")


def well_again(stack, line, history):
    """All services are back by themselves, and nothing is lost."""
    back = time.monotonic()
    stack.wait_well()
    line.service_seconds = max(line.service_seconds, time.monotonic() - back)
    stack.check_processes()
    stack.check_history(history)


@pytest.mark.parametrize("name", OUTAGES)
def test_database_away_at_idle_ends_no_service(stack, report, name, outage, repetition):
    stack.wait_well()
    line = report.line(name, "idle")
    line.tried += 1
    history, restarts = stack.history(), stack.restarts()
    with OUTAGES[name](stack):
        time.sleep(outage)
    well_again(stack, line, history)
    assert stack.restarts() == restarts
    line.recovered += 1


@pytest.mark.parametrize("name", OUTAGES)
def test_database_away_in_the_middle_of_a_run(stack, report, name, outage, repetition):
    stack.wait_well()
    line = report.line(name, "in a run")
    line.tried += 1
    line.lost += 2
    history, restarts = stack.history(), stack.restarts()
    with stack.held_run(JOBS[repetition % len(JOBS)]) as held:
        queued = stack.launch("together")
        with OUTAGES[name](stack):
            time.sleep(outage)
        back = time.monotonic()
        well_again(stack, line, history)
    wait_for(lambda: stack.done(held, queued), RUN_BOUND, f"success for {held} and {queued}")
    line.run_seconds = max(line.run_seconds, time.monotonic() - back)
    line.lost -= 2
    stack.check_runs(held, queued)
    assert [name for name in stack.duplicated() if held in name or queued in name] == []
    assert [run.status for run in stack.runs(held)] == ["SUCCESS"]
    assert stack.restarts() == restarts
    line.recovered += 1


def test_services_killed_while_the_database_is_away_wait_for_it(stack, report, outage, repetition):
    stack.wait_well()
    line = report.line("database stopped, then its users killed", "idle")
    line.tried += 1
    history, before = stack.history(), stack.processes()
    ends = {name: (stack.live.home / f"logs/{name}.log").stat().st_size for name in USERS}

    def waiting(name):
        with (stack.live.home / f"logs/{name}.log").open("rb") as log:
            log.seek(ends[name])
            return b"Waiting for PostgreSQL: " in log.read()

    with stopped(stack):
        for name in USERS:
            os.kill(before[name].pid, signal.SIGKILL)
        for name in USERS:
            wait_for(lambda: waiting(name), SERVICE_BOUND, f"{name} waiting")  # noqa: B023 - at once
        time.sleep(outage)
    well_again(stack, line, history)
    now = stack.processes()
    assert {name: now[name].restarts - before[name].restarts for name in USERS} == dict.fromkeys(
        USERS, 1
    )
    line.recovered += 1
