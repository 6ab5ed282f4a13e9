import os
import shutil
import signal
import stat
import sys
from pathlib import Path

import pytest

from dagma.stack.environment import exported_by_dagma

CHECKOUT = Path(__file__).resolve().parents[2]
# These run outside the package: on the machine's Python, and in `nix run .#lock`.
sys.path += [str(CHECKOUT / "nix/registry"), str(CHECKOUT / "nix/python"), str(CHECKOUT / "nix")]
# What tests of both kinds use stands where the check of the stack finds it.
sys.path.append(str(CHECKOUT / "tests/stack"))
# `nix develop` has what `dagma env` says of the checkout's own stack, which is nothing to these.
for name in exported_by_dagma(os.environ):
    del os.environ[name]
# A job in the background ignores SIGINT; Dagster then ignores SIGTERM too, and so do our children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def checkout():
    return CHECKOUT


@pytest.fixture
def short_path():
    """A folder where a state directory has room for its sockets, wherever TMPDIR is."""
    from live_stack import a_short_folder

    folder = a_short_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a stand-in for one of the machine's programs first on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def make(name, script):
        file = folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return file

    return make
