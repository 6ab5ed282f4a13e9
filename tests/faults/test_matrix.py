"""Each kill by itself, at idle and in the middle of a run."""

import time

import pytest
from kills import FAULTS
from live_stack import wait_for
from under_fault import JOBS, RUN_BOUND, STRAY_BOUND

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("fault", [f for f in FAULTS if not f.needs_run], ids=lambda f: f.name)
def test_killed_at_idle(stack, report, fault, repetition):
    stack.wait_well()
    line = report.line(fault.name, "idle")
    line.tried += 1
    history = stack.history()

    killed = time.monotonic()
    fault.kill(stack, None)
    stack.wait_well()
    line.service_seconds = max(line.service_seconds, time.monotonic() - killed)

    stack.check_processes()
    stack.check_history(history)
    line.recovered += 1


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_killed_in_the_middle_of_a_run(stack, report, fault, repetition):
    stack.wait_well()
    job = JOBS[(FAULTS.index(fault) + repetition) % len(JOBS)]
    killed_in(stack.held_run(job), stack, fault, report.line(fault.name, "in a run"))


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.ends_starting_run], ids=lambda f: f.name)
def test_killed_while_a_run_starts(stack, report, fault, repetition):
    stack.wait_well()
    killed_in(stack.starting_run("apart"), stack, fault, report.line(fault.name, "a run starts"))


def killed_in(run, stack, fault, line):
    """Kill while there is a run, and see that it ends well and that nothing else has changed."""
    line.tried += 1
    line.lost += 1
    with run as partition:
        history = stack.history()
        [first] = stack.runs(partition)
        killed = time.monotonic()
        fault.kill(stack, first.run_id)
        if fault.ends_starting_run:
            (stack.folder / "hold-code").unlink(missing_ok=True)  # the code has to load again
        stack.wait_well()
        line.service_seconds = max(line.service_seconds, time.monotonic() - killed)
    wait_for(lambda: stack.done(partition), RUN_BOUND, f"success for {partition}")
    line.run_seconds = max(line.run_seconds, time.monotonic() - killed)
    line.lost -= 1

    stack.check_processes()
    stack.check_history(history)
    stack.check_runs(partition)
    duplicated = [name for name in stack.duplicated() if partition in name]
    line.duplicated += len(duplicated)
    assert duplicated == []
    if fault.spares_runs:
        assert [run.status for run in stack.runs(partition)] == ["SUCCESS"]
    line.recovered += 1


def test_in_the_end_no_process_and_no_run_is_left_over(stack):
    stack.check_processes()
    stack.check_runs()
    wait_for(lambda: not stack.strays(), STRAY_BOUND, "the end of processes without a service")
