import os
import re
import socket
import tempfile

import pytest
from live_stack import LiveStack, a_short_folder

from dagma.errors import NotRunning, PreflightError
from dagma.stack import preflight, settings, topology
from dagma.stack.supervisor import Supervisor


def chosen(tmp_path, **environ):
    return settings.load({"DAGMA_HOME": str(tmp_path / "h"), **environ}).settings


def test_a_taken_port_is_named_with_its_setting(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PreflightError, match=f"MLFLOW_PORT is {port}, but that port"):
            preflight.ports(chosen(tmp_path, MLFLOW_PORT=str(port)), "mlflow")


def test_an_address_of_another_machine_is_refused(tmp_path):
    with pytest.raises(PreflightError, match=r"DAGMA_HOST is '192\.0\.2\.1', which is no address"):
        preflight.ports(chosen(tmp_path, DAGMA_HOST="192.0.2.1", MLFLOW_PORT="50123"), "mlflow")


def test_a_path_too_long_for_a_socket_is_refused(tmp_path):
    with pytest.raises(PreflightError, match="bytes too long"):
        preflight.state_directory(chosen(tmp_path / ("x" * 100)))


def test_a_longest_path_is_accepted(short_path):
    room = preflight.LONGEST_SOCKET - len(str(short_path)) - len("//h/run/process-compose.sock")
    preflight.state_directory(chosen(short_path / ("x" * room)))


def test_where_no_socket_can_be_nothing_runs(tmp_path):
    with pytest.raises(NotRunning):
        Supervisor(tmp_path / ("x" * 100) / "process-compose.sock").processes()


def test_the_stacks_of_our_tests_have_short_paths_below_a_long_tmpdir(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(preflight, "LONGEST_SOCKET", 103)  # macOS'
    base = a_short_folder()
    home = LiveStack(base, {}).home
    try:
        preflight.state_directory(settings.load({"DAGMA_HOME": str(home)}).settings)
    finally:
        base.rmdir()


def test_a_state_directory_that_is_a_file_is_refused(short_path):
    (short_path / "h").write_text("")
    with pytest.raises(PreflightError, match="is not a directory"):
        preflight.state_directory(chosen(short_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_state_directory_is_refused(short_path):
    short_path.chmod(0o500)
    with pytest.raises(PreflightError, match=f"{short_path} cannot be written"):
        preflight.state_directory(chosen(short_path))


def test_a_missing_program_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreflightError, match="Not on PATH: process-compose, mlflow"):
        preflight.programs(["mlflow"])


@pytest.mark.parametrize("version", ["1.86.2", "2.0.0", "10.1.0"])
def test_a_process_compose_that_is_too_old_or_too_new_is_refused(program, version):
    program("process-compose", f"echo v{version}")
    said = rf"{re.escape(version)}; 1\.87 or newer, below 2, is supported"
    with pytest.raises(PreflightError, match=said):
        preflight.programs([])


@pytest.mark.parametrize("version", ["1.87.0", "1.103.0", "1.999.9"])
def test_the_borders_of_process_composes_versions(program, version):
    program("process-compose", f"echo v{version}")
    preflight.programs([])


def test_the_oldest_process_compose_is_that_of_the_package_sets(checkout):
    contract = (checkout / "nix/contract.nix").read_text()
    [oldest] = re.findall(r'process-compose = \{[^}]*atLeast = "(.*?)"', contract)
    assert oldest == ".".join(map(str, topology.OLDEST_PROCESS_COMPOSE))


def test_a_qdrant_program_that_is_none_is_refused(tmp_path):
    with pytest.raises(PreflightError, match="DAGMA_QDRANT_BIN"):
        topology.members("full", chosen(tmp_path, DAGMA_QDRANT_BIN=str(tmp_path)))


def test_an_unknown_group_is_refused(tmp_path):
    with pytest.raises(PreflightError, match="no group 'huge'"):
        topology.members("huge", chosen(tmp_path))
