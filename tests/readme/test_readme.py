"""Runs the README's commands as they stand there, outside the sandbox, on a state of its own."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from platform_client import RUN, Platform, free_ports, wait_for

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
FIRST, EVERY_DAY, DEVELOP = (block.splitlines() for block in BLOCKS)
UP, STATUS, LOGS, RESTART, RELOAD, BACKUP, DOCTOR, DOWN = EVERY_DAY
#: One that shows at once, and one that shows in a run.
EDITS = {
    "The sum of `raw_numbers`.": "The sum of `raw_numbers`, and 100.",
    "total = sum(raw_numbers)": "total = sum(raw_numbers) + 100",
}
PORTS = ("POSTGRES_PORT", "DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT", "QDRANT_PORT")


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


@pytest.fixture
def checkout(tmp_path, sh):
    """A copy of this checkout, to be edited; Nix has evaluated it once."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for file in filter(None, files.split("\0")):
        target = tmp_path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / file).exists():  # or it is deleted, and Git has not been told
            shutil.copy2(ROOT / file, target, follow_symlinks=False)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    sh(f"cd {tmp_path} && {STATUS}")
    return tmp_path


@pytest.fixture
def platform(stack, environment):
    """The web interfaces of the stack, asked with its token: others may log in to this machine."""
    found = Platform()
    found.ports = {name: int(environment[name]) for name in PORTS}
    token = (Path(environment["DAGMA_HOME"]) / "secrets/token").read_text()
    found.headers = {**Platform.headers, "Authorization": f"Bearer {token}"}
    return found


def description(platform):
    """What the web interface shows about an asset."""
    nodes = platform.graphql("{ assetNodes { assetKey { path } description } }")["assetNodes"]
    return next(n["description"] for n in nodes if n["assetKey"]["path"] == ["sum_numbers"])


def last_sum(platform):
    """The value that the asset's last materialization shows."""
    query = """{ assetOrError(assetKey: {path: ["sum_numbers"]}) { ... on Asset {
      assetMaterializations(limit: 1) { metadataEntries { ... on IntMetadataEntry { intValue } }
      } } } }"""
    [made] = platform.graphql(query)["assetOrError"]["assetMaterializations"]
    return [entry["intValue"] for entry in made["metadataEntries"] if "intValue" in entry]


def test_an_edit_is_served_by_reload_and_its_value_computed(stack, sh, checkout, platform, capsys):
    edited = checkout / "src/dagma/defs/numbers/assets.py"
    code = edited.read_text()
    for before, after in EDITS.items():
        assert code.count(before) == 1
        code = code.replace(before, after)
    edited.write_text(code)
    (edited.parent / "untracked.py").write_text("")
    begun = time.monotonic()
    done = sh(f"cd {checkout} && {RELOAD}")
    assert description(platform) == "The sum of `raw_numbers`, and 100."
    took = time.monotonic() - begun
    names, reloaded = done.stdout.splitlines()
    assert names.startswith("Git does not track src/dagma/defs/numbers/untracked.py, so Nix left")
    assert (done.returncode, reloaded) == (0, "Reloaded.")
    run = platform.launch_numbers()
    wait_for(lambda: run_status(platform, run) in ("SUCCESS", "FAILURE"), 120, "the run's end")
    assert last_sum(platform) == [155]
    with capsys.disabled():  # ten on a quiet machine; no assertion, since others are not
        print(f" {took:.1f} s from the edit to the new code ", end="")


def run_status(platform, run_id):
    return platform.graphql(RUN, id=run_id)["runOrError"]["status"]


def test_code_is_reloaded_and_a_backup_written_beside_the_state(stack, sh, environment):
    assert sh(RELOAD).stdout == "Reloaded.\n"
    assert sh(BACKUP).returncode == 0
    assert len(list(Path(f"{environment['DAGMA_HOME']}-backups").glob("*.tar"))) == 1


def test_graphql_answers(platform):
    assert platform.graphql("{ runsOrError { __typename } }") == {
        "runsOrError": {"__typename": "Runs"}
    }


def test_logs_shows_a_services_log(stack, sh):
    assert "dagster" in sh(LOGS).stdout.lower()


def test_the_code_server_knows_the_commit_that_its_code_is_of(stack, environment):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    started = (Path(environment["DAGMA_HOME"]) / "run/started/user_code").read_text()
    assert f"export DAGMA_REVISION={head.stdout.strip()}" in started


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


@pytest.mark.parametrize("pip", ["pip", "pip3"])
def test_pip_in_the_shell_does_not_install_for_another_python(sh, pip):
    enter = DEVELOP[0]
    for verb in ("install", "uninstall"):
        done = sh(f"{enter} -c {pip} {verb} pluralizer")
        assert done.returncode == 1
        assert "add yours to its dependencies, then `./nixw run .#lock`" in done.stderr
    machine = sh(f"{pip} --version")
    assert sh(f"{enter} -c {pip} --version").stdout.splitlines()[-1:] == machine.stdout.splitlines()


def test_down_leaves_a_stopped_stack_and_its_history(sh):
    # Runs after the others: the fixture has taken its stack down only at the end of the module, so
    # this one starts and stops once more.
    assert sh(UP).returncode == 0
    assert sh(DOWN).returncode == 0
    services = json.loads(sh(f"{STATUS} --json").stdout)["services"]
    assert {s["state"] for s in services} == {"stopped"}
