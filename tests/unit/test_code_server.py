import os
import socket
import stat
import tempfile

import pytest

from dagma.code_server import Address, listen


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = os.umask(0)
    yield
    os.umask(before)


def test_without_a_port_it_is_the_socket_whose_path_is_written_as_grpc_reads_it(tmp_path):
    path = tmp_path / "a: é"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    code = Address.of({"DAGMA_USER_CODE_SOCKET": str(path).replace(" ", "%20")})
    with server, code.connect(timeout=1.0):
        assert code.port is None


def test_with_a_port_it_is_that():
    environ = {
        "USER_CODE_PORT": "4000",
        "DAGMA_USER_CODE_HOST": "h",
        "DAGMA_USER_CODE_SOCKET": "/s",
    }
    code = Address.of(environ)
    assert listen(code) == ["--host", "h", "--port", "4000"]
    assert tempfile.tempdir is None


def test_where_nothing_listens_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Address(path=str(tmp_path / "none")).connect(timeout=1.0)


def test_the_child_s_socket_is_beside(tmp_path):
    assert listen(Address(path=str(tmp_path / "server"))) == [
        "--socket",
        str(tmp_path / "server"),
    ]
    assert tempfile.tempdir == str(tmp_path)


def test_a_path_that_grpc_would_misread_is_left_to_the_mode_of_the_socket(tmp_path):
    listen(Address(path=f"{tmp_path}/50%25/server"))
    assert tempfile.tempdir is None
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "child"))
    assert stat.S_IMODE((tmp_path / "child").stat().st_mode) & 0o077 == 0
