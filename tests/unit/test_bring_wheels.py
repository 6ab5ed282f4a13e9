import hashlib
import sys

import pytest

import store
import wheels
from machine import BringError

WHEEL = store.Artifact("p-1.0-py3-none-any.whl", hashlib.sha256(b"bits\n").hexdigest())


@pytest.fixture
def pip(program, monkeypatch):
    """A stand-in for python3 with pip."""

    def make(script):
        monkeypatch.setattr(sys, "executable", str(program("python", script)))

    return make


def test_a_wheel_is_downloaded_by_its_hash_for_python_3_13(pip, tmp_path):
    pip(
        "while [ $# -gt 0 ]; do case $1 in --dest) dest=$2 ;; --requirement) list=$2 ;; esac\n"
        f'echo "$1" >>{tmp_path}/words; shift; done\n'
        f'cp "$list" {tmp_path}/list; echo bits >"$dest/{WHEEL.name}"'
    )
    assert wheels.download_wheels({"p==1.0": WHEEL}, tmp_path) == [tmp_path / WHEEL.name]
    assert (tmp_path / "list").read_text() == f"p==1.0 --hash=sha256:{WHEEL.sha256}\n"
    words = (tmp_path / "words").read_text().split()
    assert {"--require-hashes", "--python-version=3.13", "--abi=abi3", "--no-deps"} <= set(words)


def test_a_wheel_that_is_not_the_pinned_one_is_refused(pip, tmp_path):
    pip(f"echo others >{tmp_path}/{WHEEL.name}")
    with pytest.raises(BringError, match=r"p-1\.0-py3-none-any\.whl has sha256 "):
        wheels.download_wheels({"p==1.0": WHEEL}, tmp_path)


# What pip 23.0 and 24.3 print, shortened.
MISMATCH = """\
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated
    p==1.0 from https://index.example/p-1.0-py3-none-any.whl (from -r /r.txt (line 1)):
        Expected sha256 aaaa
             Got        bbbb
"""
UNREACHED = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<pip._vendor.\
HTTPConnection object at 0x7f>: Failed to establish: [Errno 111] Connection refused')': /simple/p/
ERROR: Could not find a version that satisfies the requirement p (from versions: none)
ERROR: No matching distribution found for p==1.0
"""
UNKNOWN = "ERROR: No matching distribution found for p==1.0\n"


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("python: No module named pip", "has no pip: install it"),
        (MISMATCH, "the index serves p==1.0 with sha256 bbbb, the lock says otherwise"),
        (UNREACHED, r"not reached: NewConnectionError\('Failed to establish: \[Errno 111\]"),
        (UNKNOWN, r"could not download wheels \(No matching distribution found for p==1\.0\)"),
    ],
)
def test_what_pip_prints_becomes_one_sentence(pip, tmp_path, output, sentence):
    pip(f"cat <<'END' >&2\n{output}\nEND\nexit 1")
    with pytest.raises(BringError, match=sentence) as error:
        wheels.download_wheels({"p==1.0": WHEEL}, tmp_path)
    assert "\n" not in str(error.value)
