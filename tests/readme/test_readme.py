"""Runs the README's commands as they stand there, outside the sandbox, on a state of its own."""

import json
import re
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
FIRST, EVERY_DAY, DEVELOP = (block.splitlines() for block in BLOCKS)
UP, STATUS, LOGS, RESTART, RELOAD, BACKUP, DOCTOR, DOWN = EVERY_DAY
PORTS = ("POSTGRES_PORT", "DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT", "QDRANT_PORT")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def environment(new_user, tmp_path_factory):
    """The user's environment: no setting but other ports and another state directory."""
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    return new_user | ports | {"DAGMA_HOME": str(tmp_path_factory.mktemp("home") / "dagma")}


@pytest.fixture(scope="module")
def sh(environment):
    """Run a line of the README; returns the finished process."""

    def run(line):
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        print(f"$ {line}\n{done.stdout}{done.stderr}")
        return done

    return run


@pytest.fixture(scope="module")
def stack(sh):
    """The stack of the README's second block."""
    assert sh(UP).returncode == 0
    yield
    assert sh(DOWN).returncode == 0


def test_the_second_up_says_that_it_is_up(stack, sh):
    again = sh(UP)
    assert again.returncode == 0
    assert "Already up." in again.stdout


def test_status_lists_every_service_as_healthy_with_its_address(stack, sh, environment):
    services = json.loads(sh(f"{STATUS} --json").stdout)["services"]
    assert {s["name"] for s in services} >= {
        "postgres",
        "user_code",
        "webserver",
        "daemon",
        "mlflow",
    }
    assert all(s["healthy"] and s["url"] for s in services)
    assert f"http://127.0.0.1:{environment['MLFLOW_PORT']}" in {s["url"] for s in services}


def test_code_is_reloaded_and_a_backup_written_beside_the_state(stack, sh, environment):
    assert sh(RELOAD).stdout == "Reloaded.\n"
    assert sh(BACKUP).returncode == 0
    assert len(list(Path(f"{environment['DAGMA_HOME']}-backups").glob("*.tar"))) == 1


def test_graphql_answers(stack, environment):
    url = f"http://127.0.0.1:{environment['DAGSTER_WEBSERVER_PORT']}/graphql"
    query = json.dumps({"query": "{ runsOrError { __typename } }"}).encode()
    token = (
        Path(environment["DAGMA_HOME"]) / "secrets/token"
    ).read_text()  # others may log in here
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, query, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer) == {"data": {"runsOrError": {"__typename": "Runs"}}}


def test_logs_shows_a_services_log(stack, sh):
    assert "dagster" in sh(LOGS).stdout.lower()


def test_restart_ends_with_a_healthy_service(stack, sh):
    assert sh(RESTART).returncode == 0


def test_doctor_finds_nothing_wrong(stack, sh):
    assert sh(DOCTOR).returncode == 0


def test_the_development_commands_work(stack, sh):
    enter, listing, first, second, query = DEVELOP
    names = sh(f"{enter} -c {listing}").stdout.split()
    assert {"raw_numbers", "sum_numbers", "viz_ready_data", "raw_recipes"} <= set(names)
    assert sh(f"{enter} -c {first}").returncode == 0
    assert sh(f"{enter} -c {second}").returncode == 0
    assert sh(f"{enter} -c {query}").stdout.count("SUCCESS") >= 2


def test_down_leaves_a_stopped_stack_and_its_history(sh):
    # Runs after the others: the fixture has taken its stack down only at the end of the module, so
    # this one starts and stops once more.
    assert sh(UP).returncode == 0
    assert sh(DOWN).returncode == 0
    services = json.loads(sh(f"{STATUS} --json").stdout)["services"]
    assert {s["state"] for s in services} == {"stopped"}
