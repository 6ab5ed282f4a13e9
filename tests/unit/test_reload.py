"""What `dagma reload` does before it asks a service."""

import json
import os
import shutil
import sys
import time

import psutil
import pytest

from dagma.errors import CodeError, NotRunning
from dagma.stack import reload


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A process whose folder and environment are those of a code server."""
    (tmp_path / "ours.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    environ = os.environ | {"DAGMA_CODE_MODULE": "ours", "DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    command = [sys.executable, "-c", "input()"]
    with psutil.Popen(command, cwd=tmp_path, env=environ, stdin=-1) as process:
        while "DAGMA_CODE_MODULE" not in process.environ():
            time.sleep(0.01)
        yield psutil.Process(process.pid), tmp_path
        process.kill()


def test_code_is_checked_in_the_folder_and_environment_of_its_server(server):
    process, folder = server
    reload.check(process)
    (folder / "ours.py").write_text("print('{\"level\": 1}')\nundefined_name\n")
    with pytest.raises(CodeError) as caught:
        reload.check(process)
    first, *lines = str(caught.value).splitlines()
    assert first == "ours does not load; what was loaded before goes on serving."
    assert lines[0] == "  | NameError: name 'undefined_name' is not defined"
    assert any("ours.py" in line and "line 2" in line for line in lines)


def test_code_is_checked_by_the_interpreter_of_its_server(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho checked by the other one\nexit 1\n")
    program.chmod(0o700)
    environ = os.environ | {"DAGMA_CODE_MODULE": "ours", "PATH": str(tmp_path)}
    # Not a program of coreutils: where these are one, it goes by its name.
    server = {"executable": shutil.which("bash"), "stdin": -1, "env": environ}
    with psutil.Popen(["python", "-c", "read"], **server) as process:
        try:
            while "DAGMA_CODE_MODULE" not in process.environ():
                time.sleep(0.01)
            with pytest.raises(CodeError, match="checked by the other one"):
                reload.check(psutil.Process(process.pid))
        finally:
            process.kill()


def test_an_explanation_is_short_and_is_all_there_is_without_a_log():
    long = "Validation failed for code location ours:\n\n" + "\n".join(map(str, range(50)))
    entry = json.dumps({"logger": "dagster", "level": "error", "event": long})
    assert reload.explanation(f"noise\n{entry}\n").count("\n") == 12
    assert reload.explanation("Segmentation fault\n") == "\n  | Segmentation fault"


class Stack:
    """A stack of which only the supervisor is asked, until it is gone."""

    def __init__(self, pid=None, looks=10):
        self.supervisor = self
        self.pid = pid
        self.looks = looks

    def processes(self):
        self.looks -= 1
        if self.looks < 0:
            raise NotRunning("gone")
        return {"user_code": self}


def test_the_code_is_a_package_or_the_folder_of_a_module(server):
    process, folder = server
    assert reload.source(Stack(process.pid)) == (folder, False)
    (folder / "ours.py").unlink()
    with pytest.raises(CodeError, match="ours is not found"):
        reload.source(Stack(process.pid))
    (folder / "ours").mkdir()
    (folder / "ours/__init__.py").touch()
    assert reload.source(Stack(process.pid)) == (folder / "ours", True)


def test_changes_of_code_are_noticed_until_the_stack_is_gone_and_data_is_not_code(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "later.tmp").write_text("1\n")
    seen = []

    def changed():
        seen.append(1)
        if len(seen) == 1:
            (tmp_path / "later.tmp").rename(tmp_path / "sub/moved.py")  # as many editors save
        else:
            (tmp_path / "sub/data.csv").write_text("1\n")

    def began():
        (tmp_path / "first.py").write_text("1\n")  # at the first moment at which it may be

    with pytest.raises(NotRunning):
        reload.watch(Stack(looks=4), tmp_path, True, began, changed)
    assert len(seen) == 2
