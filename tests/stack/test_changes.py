"""A running stack takes changed code and settings, service by service, and says what it lacks."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from patient_stack import WAIT, status
from platform_client import wait_for

import dagma

#: An asset that says which copy of Dagma it has, before and after a wait, and what it is told.
CODE = """
import os, pathlib, time
import dagster as dg

@dg.asset
def patient():
    import dagma
    here = pathlib.Path(os.environ["TEST_FOLDER"])
    first = here / f"began-{os.getpid()}"
    first.write_text(dagma.__file__ + os.environ.get("TEST_WORD", ""))
    while not (here / "go").exists():
        time.sleep(0.1)
    from dagma.stack import disk
    first.with_name(first.name.replace("began", "ended")).write_text(disk.__file__)

job = dg.define_asset_job("wait", selection=[patient])
defs = dg.Definitions(assets=[patient], jobs=[job], executor=dg.in_process_executor)
"""
LIMIT = "DAGMA_MAX_CONCURRENT_RUNS"


@pytest.fixture(scope="module")
def other_code(tmp_path_factory):
    """A copy of Dagma with other code, as Nix builds one after an edit."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(Path(dagma.__file__).parent, folder / "dagma")
    folder.joinpath("dagma").chmod(0o700)
    (folder / "dagma/edited.py").write_text("")
    if not (folder / "dagma/process-compose.yaml").exists():
        shutil.copy(Path(dagma.__file__).parents[2] / "process-compose.yaml", folder / "dagma")
    return folder


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    from live_stack import a_stack

    folder = tmp_path_factory.mktemp("t")
    with a_stack(DAGMA_CODE_MODULE="patient", TEST_FOLDER=str(folder)) as live:
        (live.work / "patient.py").write_text(CODE)
        live.dagma("up", "-d", "minimal")
        yield live, folder


@contextmanager
def commands_of(stack, folder):
    """Let the commands of a block be those of another copy."""
    stack.settings["PYTHONPATH"] = str(folder)
    try:
        yield
    finally:
        del stack.settings["PYTHONPATH"]


def begin(stack, folder):
    before = set(folder.glob("began-*"))
    run_id = stack.launch(WAIT)
    wait_for(lambda: set(folder.glob("began-*")) - before, 90, "the asset")
    (new,) = set(folder.glob("began-*")) - before
    return run_id, new


def pids(stack):
    return {name: service["pid"] for name, service in stack.status().items()}


def test_a_reload_serves_the_code_of_its_command_and_a_run_in_progress_keeps_its_own(
    patient, other_code
):
    stack, folder = patient
    old = Path(dagma.__file__).parent
    run_id, first = begin(stack, folder)
    with commands_of(stack, other_code):
        assert "other code than this command has; `dagma reload` loads it." in stack.dagma("status")
        said = stack.dagma("up", "-d", "minimal")
        assert said.startswith("Already up.")
        assert "other code than this command has" in said
        assert stack.dagma("reload") == "Reloaded.\n"
        assert "other code" not in stack.dagma("status")
        _, second = begin(stack, folder)
    (folder / "go").touch()
    wait_for(lambda: status(stack, run_id) == "SUCCESS", 90, "success")
    assert first.read_text() == str(old / "__init__.py")
    assert second.read_text() == str(other_code / "dagma/__init__.py")
    ended = first.with_name(first.name.replace("began", "ended"))
    assert ended.read_text() == str(old / "stack/disk.py")


def test_the_code_that_was_reloaded_is_still_served_after_kills(patient, other_code):
    stack, folder = patient
    before = stack.wait_healthy("user_code", 90)["pid"]
    server = psutil.Process(before)
    for process in [server, *server.children(recursive=True)]:
        process.kill()
    wait_for(lambda: stack.status()["user_code"]["pid"] not in (None, before), 90, "a new server")
    stack.wait_healthy("user_code", 90)
    wait_for(lambda: "does not load" not in stack.run("status")[1], 90, "the code")
    _, began = begin(stack, folder)
    assert began.read_text() == str(other_code / "dagma/__init__.py")


def test_up_names_the_services_that_changed_settings_concern_and_apply_restarts_only_those(
    patient,
):
    stack, _ = patient
    stack.dagma("reload")  # this command's own code again
    stack.settings[LIMIT] = "7"
    expected = f"started with: {LIMIT} (daemon); `dagma up --apply`"
    assert expected in stack.dagma("up", "-d", "minimal")
    assert expected in stack.dagma("status")
    _, shown = stack.run("status", "--json")
    assert json.loads(shown)["changed"]["settings"] == {LIMIT: ["daemon"]}
    assert f"WARN  Not what these services were {expected}" in stack.run("doctor")[1]
    before = pids(stack)
    assert "Started anew: daemon." in stack.dagma("up", "-d", "minimal", "--apply")
    after = pids(stack)
    assert {name for name in before if before[name] != after[name]} == {"daemon"}
    assert psutil.Process(after["daemon"]).environ()[LIMIT] == "7"
    assert "Nothing has changed." in stack.dagma("up", "-d", "minimal", "--apply")


def test_a_variable_of_your_own_reaches_the_code_while_no_process_ends(patient):
    stack, folder = patient
    (stack.work / ".env").write_text("TEST_WORD=hello\n")
    assert "TEST_WORD (user_code)" in stack.dagma("status")
    before = pids(stack)
    assert stack.dagma("reload") == "Reloaded, with TEST_WORD as set now.\n"
    _, began = begin(stack, folder)
    assert began.read_text().endswith("hello")
    (stack.work / ".env").unlink()
    assert "Started anew: user_code." in stack.dagma("up", "-d", "minimal", "--apply")
    _, began = begin(stack, folder)
    assert not began.read_text().endswith("hello")
    assert pids(stack) == before


def test_what_only_the_whole_stack_can_take_is_said_and_nothing_is_started_anew(patient):
    stack, _ = patient
    before = pids(stack)
    port, stack.ports["MLFLOW_PORT"] = stack.ports["MLFLOW_PORT"], 9
    try:
        for command in (["up", "--apply", "minimal"], ["reload"], ["restart", "daemon"]):
            said = stack.dagma(*command, fails=True)
            assert "Not what the stack was started with: MLFLOW_PORT; `dagma down`, then" in said
        assert pids(stack) == before
    finally:
        stack.ports["MLFLOW_PORT"] = port


def test_the_files_with_which_services_are_started_are_their_owners_alone(patient):
    stack, _ = patient
    folder = stack.home / "run/started"
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes.pop("python") == 0o700
    assert set(modes.values()) == {0o600}
    assert os.environ["PATH"] not in (folder / "user_code").read_text()
