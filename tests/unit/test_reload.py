"""What `dagma reload` does before it asks a service."""

import json
import os
import sys
from pathlib import Path

import psutil
import pytest
from platform_client import wait_for

from dagma.errors import CodeError, NotRunning
from dagma.stack import reload, source, started


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A process whose folder and environment are those of a code server."""
    (tmp_path / "ours.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    environ = os.environ | {"DAGMA_CODE_MODULE": "ours", "DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    command = [sys.executable, "-c", "input()"]
    with psutil.Popen(command, cwd=tmp_path, env=environ, stdin=-1) as process:
        wait_for(lambda: "DAGMA_CODE_MODULE" in process.environ(), 30, "its environment")
        yield psutil.Process(process.pid), tmp_path
        process.kill()


def candidate(folder, **values):
    """With what a code server's child would be started: this interpreter, and some variables."""
    started.begin(folder, ["user_code"], {started.PROGRAMS: str(Path(sys.executable).parent)})
    own = os.environ.get("PYTHONPATH")
    values |= {"PYTHONPATH": own} if own and "PYTHONPATH" not in values else {}
    values |= started.read(folder, "user_code")
    return started.candidate(folder, "user_code", values)


def test_code_is_checked_in_the_folder_and_environment_of_its_server(server):
    process, folder = server
    reload.check(process, candidate(folder))
    (folder / "ours.py").write_text("print('{\"level\": 1}')\nundefined_name\n")
    with pytest.raises(CodeError) as caught:
        reload.check(process, candidate(folder))
    first, *lines = str(caught.value).splitlines()
    assert first == "ours does not load; what was loaded before goes on serving."
    assert lines[0] == "  | NameError: name 'undefined_name' is not defined"
    assert any("ours.py" in line and "line 2" in line for line in lines)


def test_code_is_checked_with_the_packages_that_its_server_has(server, tmp_path_factory):
    process, folder = server
    packages = tmp_path_factory.mktemp("packages")
    (packages / "dependency.py").write_text("")
    (folder / "ours.py").write_text(
        "import dependency\nimport dagster as dg\ndefs = dg.Definitions()"
    )
    paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    reload.check(process, candidate(folder, PYTHONPATH=os.pathsep.join(paths)))


def test_code_is_checked_by_the_interpreter_of_who_reloads(server, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho checked by the other one\nexit 1\n")
    program.chmod(0o700)
    process, folder = server
    file = candidate(folder)
    started.write(folder, "user_code", {started.PROGRAMS: str(tmp_path)})
    with pytest.raises(CodeError, match="checked by the other one"):
        reload.check(process, started.file(folder, "user_code"))
    reload.check(process, file)


def test_a_syntax_error_in_yaml_names_file_and_line_and_nothing_of_the_parser(server):
    process, folder = server
    (folder / "ours.yaml").write_text("steps: [roll\nx: 1\n")
    (folder / "ours.py").write_text(
        "import dagster as dg, pathlib, yaml\n"
        "@dg.definitions\n"
        "def defs():\n"
        "    with pathlib.Path(__file__).with_suffix('.yaml').open() as file:\n"
        "        return dg.Definitions(metadata=yaml.safe_load(file))\n"
    )
    with pytest.raises(CodeError) as caught:
        reload.check(process, candidate(folder))
    lines = str(caught.value).splitlines()[1:]
    assert lines[0] == "  | yaml.parser.ParserError: while parsing a flow sequence"
    assert any("ours.yaml" in line and "line 2" in line for line in lines)
    assert any("ours.py" in line and "line 5" in line for line in lines)
    assert [line for line in lines if "site-packages" in line] == []


def test_the_first_cause_is_explained_with_the_user_s_own_lines_of_its_trace():
    event = (
        "Validation failed for code location ours:\n\n"
        "DagsterError: loading failed\n\nStack Trace:\n  [2 dagster system frames hidden]\n\n"
        "The above exception was caused by the following exception:\n"
        "ValueError: boom\n\nStack Trace:\n"
        '  File "/nix/store/x/lib/python3.13/site-packages/dagma/defs/a.py", line 3, in <module>\n'
        "    boom()\n"
        '  File "/nix/store/x/lib/python3.13/site-packages/pandas/b.py", line 4, in boom\n'
        "    raise ValueError\n"
        '  File "<frozen importlib._bootstrap>", line 1, in _call\n'
        "\nThe above exception occurred during handling of the following exception:\n"
        "KeyError: other\n"
    )
    entry = json.dumps({"logger": "dagster", "level": "error", "event": event})
    place, line = (f"  | {line}" for line in event.splitlines()[11:13])
    assert reload.explanation(entry).splitlines() == ["", "  | ValueError: boom", place, line]


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

    def renewed(self, service):
        return {}


def test_the_code_is_a_package_or_the_folder_of_a_module(server):
    process, folder = server
    assert reload.code_folder(Stack(process.pid)) == (folder, False)
    (folder / "ours.py").unlink()
    with pytest.raises(CodeError, match="ours is not found"):
        reload.code_folder(Stack(process.pid))
    (folder / "ours").mkdir()
    (folder / "ours/__init__.py").touch()
    assert reload.code_folder(Stack(process.pid)) == (folder / "ours", True)


def test_a_copy_that_nix_built_cannot_be_watched(server, monkeypatch):
    process, folder = server
    monkeypatch.setattr(source, "STORE", folder)
    with pytest.raises(CodeError, match="develop -c dagma reload --watch` watches the checkout"):
        reload.code_folder(Stack(process.pid))


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
