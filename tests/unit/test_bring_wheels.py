import hashlib
import json
import re
import sys

import lock_wheels
import pytest
from packaging import tags

import bring
import pins
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


@pytest.mark.parametrize("system", lock_wheels.SYSTEMS)
def test_pip_takes_the_platforms_that_the_lock_chose_from(system):
    asked = wheels.platforms(system)
    if system.endswith("darwin"):  # pip's own rule for a macOS that is named
        _, major, minor, machine = asked[0].split("_")
        asked = list(tags.mac_platforms((int(major), int(minor)), machine))
    chosen_from = [name for name in lock_wheels.SYSTEMS[system][1] if name[:6] != "linux_"]
    assert sorted(asked) == sorted(chosen_from)


def test_the_name_in_the_store_is_that_of_nixpkgs_fetchpypi(checkout):
    # It puts five parts together (nixpkgs: pkgs/build-support/fetchpypi) that ../python/default.nix
    # takes from the file's name; a store path has no other characters, and nothing is normalized.
    packages = json.loads((checkout / "nix/python/lock.json").read_text())["packages"].values()
    names = {wheel["file"] for package in packages for wheel in package["wheels"].values()}
    parts = re.compile(r"([^-]+)-(.+)-([^-]+)-([^-]+)-([^-]+)\.whl")
    odd = {name for name in names if not re.fullmatch(r"[A-Za-z0-9+_?=-][A-Za-z0-9+._?=-]*", name)}
    assert not odd
    assert all(len(name) <= 207 and parts.fullmatch(name) for name in names)


@pytest.mark.parametrize(
    ("machine", "kernel", "wheel"),
    [
        ("x86_64", "Linux", "manylinux"),
        ("aarch64", "Linux", "aarch64"),
        ("arm64", "Darwin", "arm64"),
    ],
)
def test_the_wheels_of_this_machine_are_taken(monkeypatch, machine, kernel, wheel):
    monkeypatch.setattr(pins, "SYSTEM", pins.system(machine, kernel))
    assert wheel in pins.wheel_artifacts()["numpy==" + version("numpy")].name


def test_the_wheels_of_images_for_another_system(monkeypatch):
    monkeypatch.setattr(pins, "SYSTEM", "x86_64-linux")
    taken = pins.wheel_artifacts("aarch64-linux", tools=False)
    assert "aarch64" in taken["numpy==" + version("numpy")].name
    assert "ruff==" + version("ruff") not in taken
    assert "ruff==" + version("ruff") in pins.wheel_artifacts("aarch64-linux")


def test_no_image_has_the_wheels_of_tools(checkout):
    text = (checkout / "nix/image/roles.nix").read_text()
    named = set(re.findall(r'"(.+?)"', "".join(re.findall(r"    groups = \[(.+)\];", text))))
    assert named & pins.TOOLS == set()
    assert "webserver" in named
    assert pins.read(checkout / "nix/python/lock.json")["roles"].keys() >= pins.TOOLS


def version(name):
    return pins.read(pins.HERE.parent / "python/lock.json")["packages"][name]["version"]


def test_a_machine_without_wheels_is_one_sentence(monkeypatch):
    monkeypatch.setattr(pins, "SYSTEM", "x86_64-darwin")
    with pytest.raises(BringError, match=r"lock\.json has no wheels for x86_64-darwin"):
        pins.wheel_artifacts()


@pytest.fixture
def one_wheel(monkeypatch, tmp_path):
    """A lock with one wheel that the store lacks."""
    monkeypatch.setenv("DAGMA_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(bring, "wheel_artifacts", lambda *_: {"p==1.0": WHEEL})
    monkeypatch.setattr(bring, "missing", set)


def test_wheels_alone_are_brought_for_nixpkgs_set(one_wheel, pip, monkeypatch, capsys):
    added = []
    monkeypatch.setattr(bring, "add", added.extend)
    pip(
        "while [ $# -gt 0 ]; do case $1 in --dest) dest=$2 ;; esac; shift; done\n"
        f'echo bits >"$dest/{WHEEL.name}"'
    )
    bring.main("wheels")
    assert [path.name for path in added] == [WHEEL.name]
    assert capsys.readouterr().out == f"{WHEEL.path}\n"


def test_what_happens_otherwise_ends_the_sentence(one_wheel, pip, monkeypatch):
    monkeypatch.setenv("DAGMA_OTHERWISE", "; the wheels are left to Nix")
    pip("echo 'No module named pip' >&2; exit 1")
    with pytest.raises(SystemExit, match=r"python3-pip\); the wheels are left to Nix$"):
        bring.main("wheels")
