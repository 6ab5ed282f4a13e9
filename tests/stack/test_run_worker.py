"""Runs whose process is killed, on a stack of its own whose one asset waits for a file."""

import os
import signal
import time

import pytest
from live_stack import a_stack, wait_for

CODE = """
import os, pathlib, time
import dagster as dg

@dg.asset
def patient():
    here = pathlib.Path(os.environ["TEST_FOLDER"])
    (here / f"began-{os.getpid()}").touch()
    while not (here / "go").exists():
        time.sleep(0.1)

job = dg.define_asset_job("wait", selection=[patient])
defs = dg.Definitions(assets=[patient], jobs=[job], executor=dg.in_process_executor)
"""


@pytest.fixture
def patient(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t")
    with a_stack(DAGMA_CODE_MODULE="patient", TEST_FOLDER=str(folder)) as live:
        (live.work / "patient.py").write_text(CODE)
        live.dagma("up", "-d", "minimal")
        yield live, folder


def status(stack, run_id):
    return stack.rows("SELECT status FROM runs WHERE run_id = %s", run_id)[0][0]


def others(stack, run_id):
    return stack.rows("SELECT run_id FROM runs WHERE run_id != %s", run_id)


def begin(stack, folder):
    """Launch the job and wait until its asset waits."""
    selector = {
        "repositoryLocationName": "dagma",
        "repositoryName": "__repository__",
        "jobName": "wait",
    }
    run_id = stack.launch(selector)
    wait_for(lambda: list(folder.glob("began-*")), 60, "the asset")
    wait_for(lambda: status(stack, run_id) == "STARTED", 10, "the run to be STARTED")
    return run_id


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
