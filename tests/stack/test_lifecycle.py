import os
import signal
import subprocess
import sys

import psutil
import pytest
from live_stack import LONG, a_stack
from platform_client import wait_for

from dagma.stack import supervisor

SERVICES = ("postgres", "user_code", "webserver", "daemon", "mlflow")
RUNS = "SELECT count(*) FROM runs"


def test_every_service_of_the_group_is_healthy_and_has_an_address(stack):
    status = stack.status()
    assert tuple(status) == SERVICES
    assert all(service["healthy"] for service in status.values())
    assert all(service["url"] for service in status.values())
    assert {tuple(service) for service in status.values()} == {
        ("name", "state", "healthy", "pid", "restarts", "url", "reason")
    }


def test_a_second_up_says_that_it_is_already_up(stack):
    before = stack.status()
    assert "Already up." in stack.dagma("up", "-d", "data")
    assert stack.status() == before


def test_the_control_socket_is_private_and_nothing_listens_on_tcp_for_it(stack):
    [supervising] = stack.processes("process-compose", "up")
    assert supervising.net_connections("tcp") == []
    assert (stack.home / "run").stat().st_mode & 0o066 == 0


@pytest.mark.parametrize("service", SERVICES)
def test_killed_a_service_is_back_within_30_seconds_and_status_shows_it(stack, service):
    before = stack.wait_healthy(service, 60)
    os.kill(before["pid"], signal.SIGKILL)

    def back():
        now = stack.status()[service]
        return now["healthy"] and now["restarts"] > before["restarts"] and now

    after = wait_for(back, 30, f"{service} healthy again")
    assert after["pid"] != before["pid"]


def test_after_all_these_kills_runs_still_succeed(stack):
    stack.wait_for_success(stack.launch_numbers())


def test_logs_of_a_service_are_shown(stack):
    assert "database system is ready to accept connections" in stack.dagma("logs", "postgres")
    assert "There is no service 'nosuch'" in stack.dagma("logs", "nosuch", fails=True)


def test_following_logs_shows_new_lines(stack):
    with (stack.home / "logs/init.log").open("a") as log:
        log.write("an old line\n")
    process = stack.start("logs", "init", "-f", "-n", "1")
    try:
        assert process.stdout.readline() == "an old line\n"
        with (stack.home / "logs/init.log").open("a") as log:
            log.write("a new line\n")
        assert process.stdout.readline() == "a new line\n"
    finally:
        process.send_signal(signal.SIGINT)
        with process:
            process.communicate(timeout=30)


def test_restart_waits_until_the_service_is_healthy(stack):
    before = stack.status()["daemon"]["pid"]
    assert stack.dagma("restart", "daemon").startswith("daemon      healthy")
    assert stack.status()["daemon"]["pid"] != before
    assert "not part of the running stack" in stack.dagma("restart", "qdrant", fails=True)


def test_history_survives_down_and_up_and_down_leaves_no_process(stack):
    run_id = stack.launch_numbers()
    stack.wait_for_success(run_id)
    assert "Everything is stopped" in stack.dagma("down")
    assert supervisor.members(stack.home) == []
    assert {service["state"] for service in stack.status().values()} == {"stopped"}
    assert "Nothing runs here" in stack.dagma("down")
    stack.dagma("up", "-d", "data")
    assert stack.run_status(run_id) == "SUCCESS"


def children(process):
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


def test_a_killed_supervisor_does_not_block_the_next_up(stack):
    [supervising] = stack.processes("process-compose", "up")
    supervising.kill()
    wait_for(lambda: stack.run("status")[0] == 3, 30, "status noticing it")
    said = stack.dagma("up", "-d", "data")
    assert "that a killed stack had left" in said
    found = stack.processes("postgres", "-D")
    # A process that serves a connection has the server's command line until it has its own title.
    assert (
        len({one.pid for one in found} - {child.pid for one in found for child in children(one)})
        == 1
    )
    assert all(service["healthy"] for service in stack.status().values())


def test_a_larger_group_joins_a_running_stack_in_the_foreground_and_ctrl_c_ends_all(other_stack):
    process = other_stack.start("up", "minimal")
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("All healthy"):
            break
    assert sorted(line.split()[0] for line in lines[:-1]) == sorted(SERVICES[:4])
    assert "Added to the running stack" in other_stack.dagma("up", "-d", "data")
    assert other_stack.status()["mlflow"]["healthy"]
    process.send_signal(signal.SIGINT)
    with process:
        output, _ = process.communicate(timeout=LONG)
    assert "Everything is stopped" in output
    assert process.returncode == 0
    assert supervisor.members(other_stack.home) == []


def test_files_of_the_user_do_not_shadow_dependencies_and_the_users_module_is_found(other_stack):
    for name in ("gql", "uvicorn"):
        (other_stack.work / f"{name}.py").write_text("raise RuntimeError('shadowed')\n")
    (other_stack.work / "ours.py").write_text(
        "import dagster as dg\n\n\n@dg.asset\ndef mine(): ...\n\n\n"
        "defs = dg.Definitions(assets=[mine])\n"
    )
    other_stack.settings["DAGMA_CODE_MODULE"] = "ours"
    other_stack.dagma("up", "-d", "minimal")
    nodes = other_stack.graphql("query { assetNodes { assetKey { path } } }")["assetNodes"]
    assert [node["assetKey"]["path"] for node in nodes] == [["mine"]]


def test_a_service_that_cannot_start_is_named_with_its_log_and_nothing_is_left(other_stack):
    other_stack.dagma("env")  # makes the state directory
    (other_stack.home / "dagster/dagster.yaml").write_text("storage: nonsense\n")
    said = other_stack.dagma("up", "-d", "minimal", fails=True)
    assert "dagster.yaml has been edited and is used as it is" in said
    assert "dagma: The schema of dagster could not be prepared; it said last:\n  | " in said
    assert supervisor.members(other_stack.home) == []


def test_a_service_that_was_restarted_too_often_has_failed_and_status_says_why(other_stack):
    program = other_stack.work / "server"  # stands for Qdrant: only its end matters here
    broken = other_stack.work / "broken"
    (other_stack.work / "readyz").touch()
    (other_stack.work / "index.html").write_text('{"version": "1.2.3"}')
    program.write_text(
        f"#!/bin/sh\n[ -e {broken} ] && exit 7\n"
        f"exec {sys.executable} -m http.server -d {other_stack.work} $QDRANT__SERVICE__HTTP_PORT\n"
    )
    program.chmod(0o755)
    other_stack.settings["DAGMA_QDRANT_BIN"] = str(program)
    said = other_stack.dagma("up", "-d", "vector")
    assert " is 1.2.3, which does not fit the client " in said
    broken.touch()
    os.kill(other_stack.status()["qdrant"]["pid"], signal.SIGKILL)
    wait_for(lambda: other_stack.status()["qdrant"]["state"] == "failed", LONG, "the last restart")
    code, said = other_stack.run("status")
    assert code == 3
    assert "ended with exit code 7 after 50 restarts; " in said
    broken.unlink()
    assert other_stack.dagma("restart", "qdrant").startswith("qdrant      healthy")


def test_user_code_that_does_not_load_is_said_and_does_not_keep_the_stack_down(other_stack):
    other_stack.settings["DAGMA_CODE_MODULE"] = "no_such_module"
    code, said = other_stack.run("up", "-d", "minimal")
    assert code == 3
    assert "no_such_module does not load: " in said
    assert "Correct it, then `dagma reload`.\nThe services are up, without your code." in said
    assert "All healthy" not in said
    assert other_stack.run("status")[0] == other_stack.run("up", "-d", "minimal")[0] == 3
    assert all(service["healthy"] for service in other_stack.status().values())


def test_a_taken_port_is_one_sentence_and_nothing_is_written(stack):
    with a_stack() as live:
        live.ports["MLFLOW_PORT"] = stack.ports["POSTGRES_PORT"]
        said = live.dagma("up", "-d", "data", fails=True)
        port = stack.ports["POSTGRES_PORT"]
        assert said == (
            f"dagma: MLFLOW_PORT is {port}, but that port of 127.0.0.1 is taken: "
            "stop what uses it or choose another.\n"
        )
        assert not live.home.exists()


def test_a_bad_env_file_starts_nothing(other_stack):
    (other_stack.work / ".env").write_text("DAGMA_PROT=1\n")
    said = other_stack.dagma("up", "-d", "minimal", fails=True)
    assert said.startswith("dagma: DAGMA_PROT in line 1 of .env is not a setting")
    assert not other_stack.home.exists()
    assert supervisor.members(other_stack.home) == []


def test_psql_shows_the_runs_with_the_exported_environment(stack):
    assert stack.exports()["PGPORT"] == str(stack.ports["POSTGRES_PORT"])
    assert stack.exports()["PGPASSFILE"] == f"{stack.home}/secrets/pgpass"
    exports = stack.dagma("env")
    assert (stack.home / "secrets/dagster").read_text() not in exports
    script = f"{exports}\npsql --no-psqlrc --tuples-only --no-align --command='{RUNS}'"
    asked = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (asked.stderr, asked.returncode) == ("", 0)
    assert asked.stdout.split() == [str(count) for (count,) in stack.rows(RUNS)]


def can_enter_a_user_namespace() -> bool:
    if not hasattr(os, "unshare"):  # macOS
        return False
    child = os.fork()
    if child == 0:
        try:
            os.unshare(os.CLONE_NEWUSER)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hide from PostgreSQL")
@pytest.mark.skipif(not can_enter_a_user_namespace(), reason="no user namespace here (chroot?)")
def test_as_root_below_a_directory_that_others_cannot_enter():
    with a_stack() as live:
        live.base.chmod(0o700)
        live.dagma("up", "-d", "minimal")
        assert (live.home / "postgres").stat().st_uid == 0
        assert live.status()["postgres"]["healthy"]
        live.dagma("down")
        live.dagma("up", "-d", "minimal")
