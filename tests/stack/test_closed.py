"""What other users of the machine can do to the files, sockets and locks of a stack: nothing.

Only root can be another user; in the build sandbox there is one, so .ci/run names these tests.
"""

import fcntl
import os
import select
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from live_stack import a_stack
from platform_client import wait_for

OTHER = 65533
as_another_user = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user; .ci/run does it"
)


def open_to_others(home: Path) -> list[str]:
    """What below the state directory anyone but its owner may use, as `mode path`."""
    passage = 0o011 if os.geteuid() == 0 else 0  # root's PostgreSQL runs as another user
    found = []
    for path in [home, *home.rglob("*")]:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue
        if stat.S_IMODE(mode) & 0o077 & ~(passage if path == home else 0):
            found.append(f"{stat.S_IMODE(mode):o} {path.relative_to(home)}")
    return found


def as_other(script: str, *arguments: str) -> str:
    """What a script prints that another user runs."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=OTHER,
        group=OTHER,
        extra_groups=[],
        timeout=60,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def careless():
    """A stack whose user's umask keeps nothing from anybody, in a place that all can reach."""
    with a_stack("/tmp" if os.geteuid() == 0 else None) as live:
        live.umask = 0o000
        live.dagma("up", "-d", "data")
        yield live


def test_a_day_of_work_leaves_nothing_open_to_others_whatever_the_umask(careless):
    careless.wait_for_success(careless.launch_numbers())
    careless.web("MLFLOW_PORT", "/api/2.0/mlflow/experiments/create", {"name": "a day"})
    artifact = "/api/2.0/mlflow-artifacts/artifacts/1/some/file.txt"
    careless.web("MLFLOW_PORT", artifact, b"text", "PUT")
    careless.dagma("backup")
    careless.settings["DAGMA_KEEP_EVENTS_DAYS"] = "1"
    careless.dagma("prune")
    careless.dagma("restart", "webserver")
    assert open_to_others(careless.home) == []
    assert open_to_others(careless.backups) == []
    careless.dagma("down")
    careless.umask = 0o022
    [archive] = careless.backups.glob("*.tar")
    careless.dagma("restore", "--yes", str(archive))
    careless.dagma("up", "-d", "data")
    careless.dagma("status")
    careless.wait_for_success(careless.launch_numbers())
    assert open_to_others(careless.home) == []


def test_a_state_of_an_earlier_version_is_tightened_at_the_next_up(careless):
    careless.dagma("down")
    planted = careless.home / "dagster/storage/planted/deep"
    planted.mkdir(parents=True)
    (planted / "result").write_bytes(b"\x80\x04N.")
    outside = careless.work / "outside"
    outside.write_text("not ours to change")
    outside.chmod(0o644)
    (planted / "link").symlink_to(outside)
    for path in [careless.home, *careless.home.rglob("*")]:
        ours = not path.is_symlink() and not path.is_relative_to(careless.home / "postgres")
        if ours and "secrets" not in path.parts:
            path.chmod(path.stat().st_mode | 0o066 | (0o011 if path.is_dir() else 0))
    careless.dagma("up", "-d", "data")
    assert open_to_others(careless.home) == []
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


@as_another_user
def test_another_user_gets_as_far_as_the_state_directory(careless):
    beside = careless.base / "beside"
    beside.write_text("what all can read")
    beside.chmod(0o644)
    script = "import sys; print(open(sys.argv[1]).read())"
    assert as_other(script, str(beside)) == "what all can read\n"


@as_another_user
def test_another_user_cannot_stop_a_service_by_the_control_socket(careless):
    script = """
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
link.sendall(b"PATCH /process/stop/webserver HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
print(link.recv(99))
"""
    socket_ = careless.home / "run/process-compose.sock"
    assert "PermissionError" in as_other(script, str(socket_))
    assert careless.status()["webserver"]["healthy"]


@as_another_user
def test_another_user_cannot_reach_the_user_code(careless):
    script = """
import sys
from dagster._grpc.client import DagsterGrpcClient
kind, address = sys.argv[1:]
where = {"socket": address} if kind == "socket" else {"port": int(address), "host": "127.0.0.1"}
print("it answers:", DagsterGrpcClient(**where).ping("hello"))
"""
    exports = careless.exports()
    addresses = {
        "socket": exports.get("DAGMA_USER_CODE_SOCKET"),
        "port": exports.get("USER_CODE_PORT"),
    }
    for kind, address in addresses.items():
        said = as_other(script, kind, address) if address else "DagsterUserCodeUnreachableError"
        assert "DagsterUserCodeUnreachableError" in said
        assert "it answers: hello" not in said


def test_the_user_code_listens_on_no_port(careless):
    server = psutil.Process(careless.status()["user_code"]["pid"])
    processes = [server, *server.children(recursive=True)]
    ports = [link for one in processes for link in one.net_connections("inet")]
    assert [link for link in ports if link.status == psutil.CONN_LISTEN] == []
    own = careless.home / "run/code"
    sockets = {str(path) for path in own.iterdir() if path.is_socket()}
    # Read here, since psutil takes a path with a blank for none.
    table = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
    paths = {fields[7] for line in table if len(fields := line.split(maxsplit=7)) == 8}
    assert {path for path in paths if path.startswith(str(own))} == sockets
    assert len(sockets) == 2


@as_another_user
def test_another_user_cannot_take_a_lock(careless):
    script = """
import fcntl, os, sys
for path in sys.argv[1:]:
    try:
        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        print(path, type(error).__name__)
    else:
        print(path, "is held")
"""
    locks = [careless.home, careless.home / "run", careless.home / "run/lock", careless.backups]
    said = as_other(script, *map(str, locks))
    assert said.splitlines() == [f"{path} PermissionError" for path in locks]


@as_another_user
def test_another_user_reads_and_writes_nothing_below_the_state_directory(careless):
    script = """
import os, sys
print(*[path for path in sys.argv[1:] if os.access(path, os.R_OK) or os.access(path, os.W_OK)])
"""
    everything = [careless.home, *careless.home.rglob("*"), careless.backups]
    paths = [str(path) for path in everything if not path.is_symlink()]
    assert len(paths) > 100
    assert as_other(script, *paths).strip() == ""


def test_who_waits_for_another_command_is_told(careless):
    with (careless.home / "run/lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = careless.start("down", "--now")
        try:
            assert select.select([waiting.stdout], [], [], 30)[0], "not a word"
            assert waiting.stdout.readline().startswith("Waiting for another `dagma ")
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
            with waiting:
                output, _ = waiting.communicate(timeout=120)
    assert "Everything is stopped" in output


def test_up_and_status_warn_while_others_than_this_machine_are_served():
    with a_stack(DAGMA_HOST="0.0.0.0") as live:
        warning = "DAGMA_HOST is 0.0.0.0: whoever reaches it"
        assert warning in live.dagma("up", "-d", "minimal")
        code, said = live.run("status")
        assert (code, warning in said) == (0, True)
        live.settings["DAGMA_HOST"] = "127.0.0.1"
        wait_for(lambda: warning not in live.run("status")[1], 10, "no warning")
