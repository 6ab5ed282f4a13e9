import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from dagma.stack import environment, settings, topology

ROOT = Path(__file__).parents[2]
TEXT = topology.path().read_text()
TOPOLOGY = yaml.safe_load(TEXT)
PROCESSES = TOPOLOGY["processes"]


def exported(tmp_path):
    loaded = settings.load({"DAGMA_HOME": str(tmp_path)})
    return environment.of_services(loaded, topology.SERVICES, {})


def test_the_command_line_knows_every_process():
    assert set(PROCESSES) == {topology.INIT, *topology.SERVICES}


def test_every_process_has_its_tests():
    missing = [n for n in PROCESSES if not (ROOT / f"tests/stack/test_{n}.py").exists()]
    assert missing == []


@pytest.mark.skipif(shutil.which("process-compose") is None, reason="no process-compose on PATH")
def test_process_compose_accepts_it(tmp_path):
    command = ["process-compose", "up", "--dry-run", "--tui=false", "--disable-dotenv"]
    log = ["--log-file", str(tmp_path / "log"), "--config", str(topology.path())]
    environ = exported(tmp_path) | {"PATH": __import__("os").environ["PATH"]}
    done = subprocess.run(command + log, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Validated {len(PROCESSES)} configured processes" in done.stdout


def test_every_name_in_it_is_exported_and_none_is_a_secret(tmp_path):
    used = set(re.findall(r"\$\{(\w+)\}", TEXT)) - {"NAME"}
    assert used <= set(exported(tmp_path))
    assert not [name for name in used if "PASSWORD" in name]


def test_probe_and_restart_numbers_stand_once():
    for number in ("period_seconds", "max_size_mb"):
        assert len(re.findall(rf"^\s+{number}:", TEXT, re.M)) == 1, number


def test_it_is_strict_and_stops_in_order():
    assert TOPOLOGY["is_strict"] is True
    assert TOPOLOGY["ordered_shutdown"] is True


def test_every_command_takes_what_its_service_is_started_with_and_replaces_its_shell():
    for name, process in PROCESSES.items():
        steps = process["command"].split(" && ")
        assert steps[0] == f'. "${{DAGMA_HOME}}/run/started/{name}"', name
        assert steps[-1].startswith("exec "), name


def test_every_service_can_tell_that_it_is_ready_and_is_started_again():
    for name in topology.SERVICES:
        process = PROCESSES[name]
        assert "readiness_probe" in process or "ready_log_line" in process, name
        assert process["availability"]["restart"] == "always", name


def test_who_uses_the_database_is_stopped_before_it():
    for name, process in PROCESSES.items():
        if "init" in process.get("depends_on", {}):
            assert "postgres" in process["depends_on"], name


def test_every_service_is_in_a_group_and_full_has_them_all():
    assert set(topology.GROUPS["full"]) == set(topology.SERVICES)


def test_every_process_has_a_comment_of_two_to_four_lines():
    for name in PROCESSES:
        before = TEXT.split(f"\n  {name}:\n")[0].splitlines()
        comment = 0
        while before[-1 - comment].startswith("  #"):
            comment += 1
        assert 2 <= comment <= 5, name
