import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dagma.instance import environment

ASK = """
import json, os
from dagster._cli.utils import get_instance_for_cli
with get_instance_for_cli():
    print(json.dumps({name: os.environ.get(name) for name in ("MINE", "ONLY_THERE", "SAME")}))
"""


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ({"DAGMA_SUPERVISED": "/h"}, {"MINE": "given", "ONLY_THERE": None, "SAME": "1"}),
        ({}, {"MINE": "file", "ONLY_THERE": "secret", "SAME": "1"}),
    ],
)
def test_a_service_has_what_the_stack_gave_it_whatever_dagster_reads_in_dotenv(
    tmp_path, service, found
):
    (tmp_path / "dagster.yaml").write_text(
        "instance_class: {module: dagma.instance, class: Instance}\n"
    )
    (tmp_path / ".env").write_text("MINE=file\nONLY_THERE=secret\nSAME=1\n")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DAGMA_")}
    given = {"DAGSTER_HOME": str(tmp_path), "MINE": "given", "SAME": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tmp_path,
        env=inherited | given | service,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == found


#: An instance of our class on SQLite.
OURS = "instance_class: {module: dagma.instance, class: Instance}\ntelemetry: {enabled: false}\n"


@pytest.mark.parametrize("command", [["-m", "dagster", "dev"], ["dagster-daemon", "run"]])
def test_a_second_daemon_beside_the_stack_s_is_refused_with_what_to_do(tmp_path, command):
    (tmp_path / "dagster.yaml").write_text(OURS)
    (tmp_path / "mine.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    script = Path(sys.executable).with_name(command[0])
    program = [sys.executable, *([str(script), *command[1:]] if script.exists() else command)]
    environ = os.environ | {"DAGSTER_HOME": str(tmp_path), "DAGMA_ENV": "{}"}
    environ.pop("DAGMA_SUPERVISED", None)
    done = subprocess.run(
        [*program, "-f", "mine.py"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith("Error: DAGSTER_HOME is the stack's, whose daemon another one would")
    assert said.endswith("`env -u DAGSTER_HOME dagster dev -m dagma.definitions`.")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "variables"),
    [
        (["/bin/dagster-daemon", "run"], ["DAGMA_ENV", "DAGMA_SUPERVISED"]),  # the stack's own
        (["/bin/dagster-daemon", "run"], []),  # in an image
        (["/bin/dagster", "asset", "materialize"], ["DAGMA_ENV"]),
        (["/bin/dagster", "dev"], []),
    ],
)
def test_the_stack_s_daemon_and_other_commands_are_not_refused(monkeypatch, argv, variables):
    monkeypatch.setattr(sys, "argv", argv)
    for name in ("DAGMA_ENV", "DAGMA_SUPERVISED"):
        monkeypatch.delenv(name, raising=False)
    for name in variables:
        monkeypatch.setenv(name, "x")
    environment.refuse_second_daemon()
