"""Stopping a stack in which a run is in progress: the run ends first, or is run again afterwards."""

import signal

import pytest
from live_stack import LONG
from patient_stack import WAIT, a_patient_stack, begin, others, status
from platform_client import wait_for

from dagma.stack import supervisor


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t")
    with a_patient_stack(folder) as live:
        yield live, folder


@pytest.fixture
def patient(stopped):
    """The stack, up, with no run in it, and a folder where no asset has begun."""
    stack, folder = stopped
    for file in folder.iterdir():
        file.unlink()
    stack.dagma("up", "-d", "minimal")
    return stack, folder


def line(process, start):
    """Read on until a line begins like this."""
    for text in process.stdout:
        if text.startswith(start):
            return text
    return pytest.fail(f"it ended without a line that begins with {start!r}")


def ended(process):
    with process:
        output, _ = process.communicate(timeout=LONG)
    return output


def test_down_waits_for_a_run_and_leaves_the_queue_as_it_is(patient):
    stack, folder = patient
    run_id = begin(stack, folder)
    process = stack.start("down")
    assert line(process, "Waiting for").startswith(
        f"Waiting for run {run_id[:8]} of wait, in progr"
    )
    queued = stack.launch(WAIT)
    assert stack.status()["daemon"]["pid"] is None
    (folder / "go").touch()
    output = ended(process)
    assert f"Ended by itself: run {run_id[:8]} of wait, after " in output
    assert "Everything is stopped" in output
    stack.dagma("up", "-d", "minimal")
    assert status(stack, run_id) == "SUCCESS"
    wait_for(lambda: status(stack, queued) == "SUCCESS", 180, "the queued run")
    assert others(stack, run_id) == [(queued,)]


def test_ctrl_c_while_down_waits_leaves_the_stack_running(patient):
    stack, folder = patient
    run_id = begin(stack, folder)
    process = stack.start("down")
    line(process, "Waiting for")
    process.send_signal(signal.SIGINT)
    assert "The stack goes on running." in ended(process)
    assert process.returncode == 130
    stack.wait_healthy("daemon", 120)
    assert status(stack, run_id) == "STARTED"
    (folder / "go").touch()
    wait_for(lambda: status(stack, run_id) == "SUCCESS", 60, "success")


def test_runs_that_are_ended_on_purpose_say_so_and_are_run_again_each_time(patient):
    stack, folder = patient
    first = begin(stack, folder)
    before = {run for (run,) in others(stack, first)}
    said = stack.dagma("down", "--timeout", "1")
    assert "Not waited for any longer, after 1 s." in said
    assert f"Ended run {first[:8]} of wait. It is run again after the next start." in said

    process = stack.start("up", "minimal")
    line(process, "All healthy")
    second = again(stack, first, before)
    process.send_signal(signal.SIGTERM)  # as the machine does when it is shut down
    assert f"Ended run {second[:8]} of wait. It is run again after the next start." in ended(
        process
    )
    assert supervisor.members(stack.home) == []

    process = stack.start("up", "minimal")
    line(process, "All healthy")
    third = again(stack, first, before | {second})
    process.send_signal(signal.SIGINT)
    line(process, "Waiting for")
    process.send_signal(signal.SIGINT)
    assert f"Ended run {third[:8]} of wait. It is run again after the next start." in ended(process)

    (folder / "go").touch()
    stack.dagma("up", "-d", "minimal")
    fourth = again(stack, first, before | {second, third}, "SUCCESS")
    for run_id in (first, second, third):
        assert status(stack, run_id) == "FAILURE"
        assert "ended this run on purpose" in log(stack, run_id)
    assert {run for (run,) in others(stack, first)} == before | {second, third, fourth}


def again(stack, first, known, wanted="STARTED"):
    """The one run that is neither the first nor known, once it has come so far."""
    news = wait_for(
        lambda: [run for (run,) in others(stack, first) if run not in known], 120, "another run"
    )
    [run_id] = news
    wait_for(lambda: status(stack, run_id) == wanted, 120, f"the run to be {wanted}")
    return run_id


def log(stack, run_id):
    return "".join(
        event for (event,) in stack.rows("SELECT event FROM event_logs WHERE run_id = %s", run_id)
    )
