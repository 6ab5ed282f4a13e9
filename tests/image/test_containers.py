"""deploy/compose.yaml with our images, as a user runs it."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from attacks import JSON, LAUNCH, ask, in_address
from compose import ONCE, OURS, SERVERS
from platform_client import NUMBERS, wait_for

import check

ROOT = Path(__file__).parents[2]
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
IMAGE = "localhost/dagma/user-code:test"


@pytest.mark.parametrize("service", SERVERS)
def test_no_container_is_root_writes_to_its_image_or_may_gain_rights(compose, service):
    found = compose.inspect(service)
    assert found["HostConfig"]["ReadonlyRootfs"]
    assert found["EffectiveCaps"] in (None, [])
    status = compose.exec(
        service, "cat" if service == "postgres" else "bash", *READ_STATUS[service]
    )
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert values["Uid"].split("\t")[0] == ("999" if service == "postgres" else "65532")
    assert values["NoNewPrivs"] == "1"


READ_STATUS = {service: ("-c", 'echo "$(</proc/self/status)"') for service in OURS} | {
    "postgres": ("/proc/self/status",)
}


@pytest.mark.parametrize("service", OURS)
def test_the_locale_is_there(compose, service):
    code = "import locale; print(locale.setlocale(locale.LC_ALL, ''))"
    assert compose.exec(service, "python", "-c", code) == "C.UTF-8\n"


def test_runs_and_assets_are_listed(compose):
    wait_for(compose.location_is_loaded, 60, "the code location")
    answer = compose.graphql(
        "query { runsOrError { __typename } assetNodes { assetKey { path } } }"
    )
    assert answer["runsOrError"]["__typename"] == "Runs"
    paths = [node["assetKey"]["path"] for node in answer["assetNodes"]]
    assert all([name] in paths for name in NUMBERS)


def test_assets_are_materialized_and_land_in_postgresql_with_the_image_that_ran_them(compose):
    run_id = compose.launch_numbers()
    compose.wait_for_success(run_id)
    [(status, body)] = compose.rows("SELECT status, run_body FROM runs WHERE run_id = %s", run_id)
    assert status == "SUCCESS"
    origin = json.loads(body)["pipeline_code_origin"]["repository_origin"]
    assert origin["container_image"] == IMAGE
    materialized = compose.rows(
        "SELECT asset_key FROM event_logs"
        " WHERE run_id = %s AND dagster_event_type = 'ASSET_MATERIALIZATION'",
        run_id,
    )
    assert sorted(key for (key,) in materialized) == [f'["{name}"]' for name in NUMBERS]


def test_dagster_shows_the_image_beside_the_code_location(compose):
    shown = {item["key"]: item["value"] for item in compose.location()["displayMetadata"]}
    assert shown["image"] == IMAGE


def test_the_recipes_job_turns_the_corpus_of_the_image_into_a_tidy_table(compose):
    run_id = compose.launch_recipes()
    compose.wait_for_success(run_id)
    assert compose.check_results(run_id) == [True] * 6


def test_mlflow_answers_and_has_its_tables_in_its_own_database(compose):
    assert compose.web("MLFLOW_PORT", "/health") == b"OK"
    tables = {name for (name,) in compose.rows(TABLES, database="mlflow")}
    assert {"experiments", "runs", "metrics"} <= tables
    assert not {"experiments", "metrics"} & {name for (name,) in compose.rows(TABLES)}


def test_user_code_reaches_mlflow_by_its_name(compose):
    code = (
        "import mlflow; mlflow.set_experiment('from user code');\n"
        "with mlflow.start_run(): mlflow.log_metric('loss', 0.25); mlflow.log_text('hi', 'a.txt')"
    )
    compose.exec("user_code", "python", "-c", code)
    assert compose.rows("SELECT value FROM metrics", database="mlflow") == [(0.25,)]


@pytest.mark.parametrize("port", ["DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT"])
def test_the_web_interfaces_are_behind_the_door(compose, port):
    foreign = {"Host": "attacker.example", "Origin": "http://attacker.example"}
    query = json.dumps({"query": LAUNCH})
    for path in ("/graphql", "/"):
        assert "DAGMA_ALLOWED_HOSTS" in ask(compose.ports[port], path, foreign).text
    runs = "SELECT count(*) FROM runs"
    before = compose.rows(runs)
    for headers in (foreign, foreign | JSON, {"Content-Type": "text/plain;application/json"}):
        assert ask(compose.ports[port], "/graphql", headers, "POST", query).status == 403
    if port == "DAGSTER_WEBSERVER_PORT":
        assert ask(compose.ports[port], in_address(LAUNCH)).status == 403
    assert compose.rows(runs) == before


@pytest.mark.parametrize("service", ["user_code", "daemon"])
def test_a_killed_container_is_back_with_the_history_of_runs(compose, service):
    run_id = compose.launch_numbers()
    compose.wait_for_success(run_id)
    before = compose.inspect(service)["State"]["Pid"]
    os.kill(before, signal.SIGKILL)  # `podman kill` counts as a stop by the user
    wait_for(lambda: compose.inspect(service)["State"]["Pid"] not in (0, before), 60, "a restart")
    wait_for(lambda: compose.healthy(service), 60, f"{service} healthy")
    wait_for(compose.location_is_loaded, 60, "the code location")
    assert compose.run_status(run_id) == "SUCCESS"
    compose.wait_for_success(compose.launch_numbers())


def test_the_heartbeats_of_a_daemon_that_was_killed_do_not_count_for_the_next(compose):
    wait_for(lambda: compose.healthy("daemon"), 120, "daemon healthy")
    before = compose.inspect("daemon")["State"]["Pid"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: compose.inspect("daemon")["State"]["Pid"] not in (0, before), 60, "a restart")
    done = compose.podman("exec", compose.container("daemon"), "healthy")
    assert done.returncode == 1
    assert "since its start" in done.stderr
    wait_for(lambda: compose.healthy("daemon"), 120, "daemon healthy")


def test_databases_that_cannot_be_reached_yet_are_waited_for(compose):
    container = compose.container("init_mlflow")
    compose.run("stop", *OURS, "postgres")
    try:
        compose.podman("start", container)
        time.sleep(5)
    finally:
        compose.up()
    found = compose.inspect("init_mlflow")
    assert (found["State"]["ExitCode"], found["RestartCount"]) == (0, 0)


def test_who_waits_for_a_database_that_never_comes_is_told(images):
    address = "DAGMA_HEALTH=database:postgresql://mlflow@nowhere.invalid/mlflow"
    command = ["podman", "run", "--rm", "--env", address, "localhost/dagma/mlflow:test"]
    done = subprocess.run([*command, "healthy", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("unhealthy: could not translate host name")
    assert done.stderr.endswith("(asked for 2 s)\n")


@pytest.mark.parametrize("role", ["user-code", "webserver", "daemon", "mlflow"])
def test_state_is_writable_for_a_user_that_the_engine_chose(images, role):
    # As OpenShift starts containers. `ignore`: in what the image itself has, not in a volume that
    # podman gave to the user.
    command = ["podman", "run", "--rm", "--user=1000670000:0", "--image-volume=ignore"]
    code = "import os, pathlib; path = pathlib.Path({!r}, 'a'); path.touch(); print(path.stat().st_uid)"
    place = "/mlflow" if role == "mlflow" else "/opt/dagster/dagster_home/storage"
    image = f"localhost/dagma/{role}:test"
    done = subprocess.run(
        [*command, image, "python", "-c", code.format(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1000670000\n", done.stderr


def test_the_history_has_a_date_that_engines_can_show(images):
    shown = subprocess.check_output(
        ["podman", "history", "--format", "{{.CreatedAt}}", "localhost/dagma/daemon:test"],
        text=True,
    )
    assert {line[:10] for line in shown.splitlines()} == {"1970-01-01"}


def test_loaded_code_that_is_killed_in_its_container_is_loaded_again(compose):
    before = compose.inspect("user_code")["State"]["Pid"]
    inside = psutil.Process(before).children(recursive=True)
    [loaded] = [one for one in inside if "grpc" in one.cmdline()]
    loaded.kill()
    wait_for(
        lambda: compose.inspect("user_code")["State"]["Pid"] not in (0, before), 60, "a restart"
    )
    wait_for(lambda: compose.healthy("user_code"), 60, "user_code healthy")
    wait_for(compose.location_is_loaded, 60, "the code location")


@pytest.mark.parametrize("service", OURS)
def test_a_service_that_hangs_is_not_healthy(compose, service):
    container = compose.container(service)
    assert compose.healthy(service)
    hold(compose, service, "STOP")
    try:
        if service == "daemon":
            # Heartbeats come every 30 seconds and may be two minutes old.
            older = "UPDATE daemon_heartbeats SET timestamp = timestamp - interval '2 minutes'"
            compose.rows(f"{older} RETURNING daemon_type")
        done = compose.podman("exec", container, "healthy")
        assert (done.returncode, done.stderr[:11]) == (1, "unhealthy: ")
    finally:
        hold(compose, service, "CONT")
    wait_for(lambda: compose.healthy(service), 60, f"{service} healthy")


def hold(compose, service, name):
    """Send a signal to all processes of a container; none of them sends it to the first itself."""
    compose.podman("kill", "-s", name, compose.container(service))
    code = f"import os, signal; os.kill(-1, signal.SIG{name})"
    compose.podman("exec", compose.container(service), "python", "-c", code)


def test_a_second_start_keeps_passwords_and_data(compose):
    before = compose.passwords()
    run_id = compose.launch_numbers()
    compose.wait_for_success(run_id)
    for service in ONCE:
        done = compose.podman("start", "--attach", compose.container(service))
        assert done.returncode == 0, done.stderr
        assert "Created" not in done.stdout
    assert compose.passwords() == before
    assert compose.run_status(run_id) == "SUCCESS"


def test_no_password_is_in_an_environment_a_command_line_or_a_log(compose):
    texts = [compose.log_tails(lines=1_000_000)]
    for service in (*ONCE, *SERVERS):
        texts.append(json.dumps(compose.inspect(service)))
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            texts += [(folder / name).read_text() for name in ("cmdline", "environ")]
        except OSError:
            continue
    passwords = compose.passwords()
    assert sorted(passwords) == ["analytics", "dagster", "mlflow"]
    assert len(set(passwords.values())) == 3
    assert not [role for role, secret in passwords.items() for text in texts if secret in text]


def test_nothing_of_the_running_stack_or_of_the_builder_is_in_a_layer(compose, layout):
    unwanted = {*compose.passwords().values(), str(ROOT), socket.gethostname()}
    # A home that every image has is nobody's.
    unwanted |= {os.environ["HOME"]} - {"/root", "/"}
    patterns = [text.encode() for text in unwanted if len(text) > 4]
    longest = max(map(len, patterns))
    digests = set()
    index = json.loads((layout / "index.json").read_text())
    for entry in index["manifests"]:
        manifest = layout / "blobs" / entry["digest"].replace(":", "/")
        content = json.loads(manifest.read_text())
        config = layout / "blobs" / content["config"]["digest"].replace(":", "/")
        texts = manifest.read_bytes() + config.read_bytes()
        assert not [pattern for pattern in patterns if pattern in texts]
        digests |= {layer["digest"] for layer in content["layers"]}
    for digest in digests:
        with (layout / "blobs" / digest.replace(":", "/")).open("rb") as file:
            plain, rest = check.Plain(file), b""
            while piece := plain.read(check.PIECE):
                window = rest + piece
                assert not [pattern for pattern in patterns if pattern in window], digest
                rest = window[-longest:]


def test_sigterm_ends_each_with_0_and_a_new_start_has_the_history(compose):
    run_id = compose.launch_numbers()
    compose.wait_for_success(run_id)
    compose.run("stop", *OURS)
    compose.run("stop", "postgres")  # last, as compose does it
    codes = {service: compose.inspect(service)["State"]["ExitCode"] for service in SERVERS}
    assert codes == dict.fromkeys(SERVERS, 0)
    compose.up()
    wait_for(compose.location_is_loaded, 60, "the code location")
    assert compose.run_status(run_id) == "SUCCESS"
