import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dagma import cli
from dagma.cli import SUBJECTS, main
from dagma.stack import daemons, location, settings, topology
from dagma.stack.control import Stack, Status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command line in an empty directory with no settings but the state directory."""
    monkeypatch.chdir(tmp_path)
    for name in settings.table():  # what the shell has of a stack by hand
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGMA_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_every_command_and_option_is_documented():
    text = (ROOT / "docs/cli.md").read_text()
    for name, command in main.commands.items():
        assert f"`dagma {name}" in text, name
        for parameter in command.params:
            for spelling in parameter.opts:
                shown = spelling if spelling.startswith("-") else spelling.upper()
                assert shown in text, f"{name} {shown}"


def test_every_group_is_documented():
    text = (ROOT / "docs/cli.md").read_text()
    assert all(f"| `{name}` |" in text for name in topology.GROUPS)


def test_every_command_has_a_help_text():
    assert all(command.help for command in main.commands.values())


def test_no_summary_is_cut_on_a_terminal_of_80_columns():
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert shown.count("\n  ") > len(main.commands)
    assert "..." not in shown.partition("Commands:")[2]


def completed(*words):
    """What bash offers after some words, by the file that the packages bring."""
    file = Path(sys.prefix) / "share/bash-completion/completions/dagma"
    script = f'source "{file}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dagma_completion $1'
    command = ["bash", "-c", f'{script}; echo "${{COMPREPLY[@]}}"', "bash", *words]
    environ = os.environ | {"PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    return done.stdout.split() or done.stderr


def test_the_shell_completes_commands_options_groups_and_services():
    assert completed("dagma", "re") == ["reload", "restart", "restore"]
    assert completed("dagma", "up", "--ap") == ["--apply"]
    assert completed("dagma", "up", "mi") == ["minimal"]
    assert completed("dagma", "restart", "web") == ["webserver"]


@pytest.mark.parametrize(
    "file", ["zsh/site-functions/_dagma", "fish/vendor_completions.d/dagma.fish"]
)
def test_the_packages_bring_completion_for_other_shells(file):
    assert "_DAGMA_COMPLETE" in (Path(sys.prefix) / "share" / file).read_text()


def test_a_corpus_that_is_not_there_is_said(run, monkeypatch, tmp_path):
    monkeypatch.setenv("RECIPES_SOURCE", str(tmp_path / "none.csv"))
    expected = f"WARN  RECIPES_SOURCE is '{tmp_path}/none.csv', where nothing is: runs of raw_"
    assert expected in run("doctor").output
    (tmp_path / "none.csv").touch()
    assert "RECIPES_SOURCE" not in run("doctor").output


def test_an_unknown_group_is_a_usage_error_that_lists_the_groups(run, tmp_path):
    result = run("up", "huge")
    assert result.exit_code == 2
    assert "'minimal', 'data', 'vector', 'ml', 'full'" in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_interface_of_process_compose_needs_a_terminal(run, tmp_path):
    result = run("up", "--tui")
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "--tui needs a terminal" in result.output


def test_a_wrong_setting_is_one_line_and_exit_code_1(run, tmp_path):
    (tmp_path / ".env").write_text("MLFLOW_PORT=x\n")
    for command in ("up", "down", "status", "env", "doctor", "logs"):
        result = run(command)
        assert result.exit_code == 1
        assert result.output.startswith("dagma: MLFLOW_PORT is 'x' in .env, but it must be")
        assert result.output.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_in_a_shell_that_evaluated_env_the_file_still_counts(run, tmp_path, monkeypatch):
    monkeypatch.setenv("POSTGRES_PORT", "6001")
    for line in run("env").output.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        monkeypatch.setenv(name, *shlex.split(value))
    (tmp_path / ".env").write_text("MLFLOW_PORT=6002\nPOSTGRES_PORT=6003\n")
    again = run("env").output
    assert "export MLFLOW_PORT=6002\n" in again
    assert "export POSTGRES_PORT=6001\n" in again  # the user's own


def test_without_a_stack_status_says_stopped_and_exits_with_3(run):
    result = run("status")
    assert result.exit_code == 3
    assert result.output.count("stopped") >= 5


@pytest.mark.parametrize(("reason", "code"), [("no heartbeat of SENSOR", 3), (None, 0)])
def test_a_daemon_whose_loops_are_silent_is_not_healthy(run, monkeypatch, reason, code):
    services = [Status(name, "running", True, 1, 0, "url") for name in ("webserver", "daemon")]
    monkeypatch.setattr(Stack, "status", lambda _: services)
    monkeypatch.setattr(location, "problem", lambda _: None)
    monkeypatch.setattr(daemons, "silent", lambda *_: reason)
    result = run("status")
    assert result.exit_code == code
    assert ("silent" in result.output, str(reason) in result.output) == (code == 3, code == 3)


def test_without_a_stack_down_is_content(run, tmp_path):
    result = run("down")
    assert (result.exit_code, result.output) == (0, "Nothing is running here.\n")
    assert list(tmp_path.iterdir()) == []


def test_without_a_stack_schedules_says_how_to_start_one(run, monkeypatch):
    monkeypatch.setenv("DAGSTER_WEBSERVER_PORT", "9")
    result = run("schedules")
    assert result.exit_code == 1
    assert "does not answer at http://127.0.0.1:9; `dagma up` starts it." in result.output


def test_without_a_stack_restart_says_so(run):
    result = run("restart", "mlflow")
    assert result.exit_code == 1
    assert "No stack is running here" in result.output


@pytest.mark.parametrize("command", ["backup", "prune"])
def test_without_a_stack_there_is_nothing_to_back_up_or_to_prune(run, command):
    result = run(command)
    assert result.exit_code == 1
    assert "No stack is running here; `dagma up` starts one." in result.output


def test_doctor_reports_one_line_per_finding(run):
    result = run("doctor")
    lines = result.output.splitlines()
    assert all(line.split()[0] in ("OK", "WARN", "FAIL") for line in lines)
    assert len(lines) > 10
    assert (result.exit_code == 1) == any(line.startswith("FAIL") for line in lines)


@pytest.mark.parametrize("module", ["dagster", "mlflow", "psycopg2", "rich"])
def test_the_command_line_does_not_import_what_is_slow(module):
    code = f"import sys, dagma.cli; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def imported(*arguments):
    """The modules of Dagma, and of others that are slow, that a call of the command line imports."""
    code = "import sys\nfrom dagma.cli import main\ntry: main(sys.argv[1:])\nfinally: print(*sys.modules)"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {name for name in done.stdout.splitlines()[-1].split() if name.startswith(OURS)}


OURS = ("dagma.cli.", "dagma.stack.", "pydantic", "psutil")


def test_help_needs_nothing_of_the_stack():
    assert imported("--help") == {f"dagma.cli.{name}" for name in ("base", *SUBJECTS)}
    assert imported("down", "--help") == {"dagma.cli.base", "dagma.cli.lifecycle"}


def test_a_command_imports_its_own_file_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGMA_HOME", str(tmp_path / "home"))
    found = {name for name in imported("logs") if name.startswith("dagma.cli.")}
    assert found == {"dagma.cli.base", "dagma.cli.view"}


def test_each_command_of_a_file_can_be_called():
    """A file that is not in the list, or a function that is not, would be dead."""
    names = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    found = {}
    for name in names - {"__init__", "__main__"}:
        module = importlib.import_module(f"dagma.cli.{name}")
        ends = [one for one in vars(module) if one.endswith("_command")]
        found |= {name: {end.removesuffix("_command") for end in ends}} if ends else {}
    assert found == {name: set(commands) for name, commands in SUBJECTS.items()}
    assert all(command.name == name for name, command in main.commands.items())


def test_version(run):
    assert run("--version").output.startswith("dagma, version ")
