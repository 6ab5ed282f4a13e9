"""Runs whose process is killed, on a stack of its own whose one asset waits for a file."""

import os
import signal
import time

import pytest
from patient_stack import a_patient_stack, begin, others, status
from platform_client import wait_for


@pytest.fixture
def patient(tmp_path):
    with a_patient_stack(tmp_path) as live:
        live.dagma("up", "-d", "minimal")
        yield live, tmp_path


def test_a_run_whose_process_is_killed_fails_and_is_run_again(patient):
    stack, folder = patient
    run_id = begin(stack, folder)
    os.killpg(stack.status()["user_code"]["pid"], signal.SIGKILL)
    wait_for(lambda: status(stack, run_id) == "FAILURE", 60, "the lost run to fail")
    (folder / "go").touch()
    [(retried,)] = wait_for(lambda: others(stack, run_id), 120, "another run")
    wait_for(lambda: status(stack, retried) == "SUCCESS", 120, "its success")
    assert others(stack, run_id) == [(retried,)]


def test_a_run_survives_a_reload_of_the_code_and_a_restart_of_the_database(patient):
    stack, folder = patient
    run_id = begin(stack, folder)
    stack.graphql(
        'mutation { reloadRepositoryLocation(repositoryLocationName: "dagma") { __typename } }'
    )
    before = stack.status()["postgres"]
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: stack.status()["postgres"]["restarts"] > before["restarts"], 30, "a restart")
    stack.wait_healthy("postgres", 30)
    time.sleep(20)  # several looks of the monitor
    assert status(stack, run_id) == "STARTED"
    (folder / "go").touch()
    wait_for(lambda: status(stack, run_id) == "SUCCESS", 30, "success")
    assert others(stack, run_id) == []
