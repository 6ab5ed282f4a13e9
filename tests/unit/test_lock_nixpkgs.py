"""The renewal of the lock evaluates every output with the pinned nixpkgs: a tree of files stands for it."""

import json
import shutil
import subprocess

import lock_nixpkgs
import pytest

pytestmark = pytest.mark.skipif(shutil.which("nix") is None, reason="no nix on PATH")

TREE = """
{ system, config, overlays }:
import (/. + "%s/nix/stand-in.nix") { inherit system; } // %s
"""


@pytest.fixture
def pinned(tmp_path, checkout):
    """Return a function that makes a checkout whose nixpkgs is what is known of it, and more."""

    def make(more="{ }"):
        tree = tmp_path / "tree"
        tree.mkdir()
        (tree / "default.nix").write_text(TREE % (checkout, more))
        copy = tmp_path / "check out"
        copy.mkdir()
        for name in ("nix", "src", "tests"):
            shutil.copytree(checkout / name, copy / name)
        for name in ("process-compose.yaml", "pyproject.toml"):
            shutil.copy(checkout / name, copy)
        command = ["nix", *lock_nixpkgs.OPTIONS[:2], "hash", "path", str(tree)]
        hashed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        locked = {"type": "path", "path": str(tree), "narHash": hashed, "lastModified": 1}
        lock = {"nodes": {"nixpkgs": {"locked": locked}}}
        (copy / "flake.lock").write_text(json.dumps(lock))
        return copy

    return make


def test_a_nixpkgs_as_it_is_known(pinned, capsys):
    lock_nixpkgs.main(pinned())
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:3]] == [
        f"nixpkgs, {system}" for system in lock_nixpkgs.SYSTEMS
    ]
    assert said[3] == "nixpkgs: nothing moved beside nix/nixpkgs.nix"


def test_a_package_that_only_images_of_another_architecture_need(pinned):
    more = '(if system == "aarch64-linux" then { tini = throw "tini has been removed"; } else { })'
    with pytest.raises(SystemExit) as ended:
        lock_nixpkgs.main(pinned(more))
    assert "nixpkgs, x86_64-linux: the package set has taken tini away" in str(ended.value.code)


def test_a_name_that_was_taken_away_ends_the_renewal(pinned):
    more = '{ skopeo = throw "skopeo has been removed"; tzdata = throw "likewise"; }'
    with pytest.raises(SystemExit) as ended:
        lock_nixpkgs.main(pinned(more))
    assert "has taken skopeo away, and has taken tzdata away" in str(ended.value.code)


def test_what_moved_is_said(pinned, checkout, capsys):
    known = f'(import (/. + "{checkout}/nix/stand-in.nix") {{ inherit system; }})'
    lock_nixpkgs.main(pinned(f'{{ skopeo = {known}.skopeo // {{ version = "2.0"; }}; }}'))
    assert "skopeo: version 1.22.1 -> 2.0" in capsys.readouterr().out


def test_a_nixpkgs_out_of_reach_is_said(pinned, capsys):
    copy = pinned()
    shutil.rmtree(copy.parent / "tree")
    lock_nixpkgs.main(copy)
    assert capsys.readouterr().out.startswith("nixpkgs is out of reach")
