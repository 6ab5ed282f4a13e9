"""Store paths and archive hashes against what Nix 2.26.3 computed."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import store
from machine import BringError

EMPTY = hashlib.sha256(b"").hexdigest()
ABC = hashlib.sha256(b"abc").hexdigest()
DEB = "hello_1.0.2+b1_amd64.deb"


# nix-store --print-fixed-path [--recursive] sha256 HASH NAME
@pytest.mark.parametrize(
    ("artifact", "path"),
    [
        (store.Artifact("seed", EMPTY), "0kjkp4h8gzpfz3gw3f24z97cxf2a4pxd-seed"),
        (store.Artifact("seed", ABC), "ld75v2ii7n83n5jy9dw7hgpvf933slsi-seed"),
        (store.Artifact(DEB, EMPTY), f"qqkxl44lscig5lpxclx35r9ciggfd3mb-{DEB}"),
        (store.Artifact("seed", EMPTY, True), "01rs6mrhkkvyhm1f19ksp060mnf122jg-seed"),
        (store.Artifact("seed", ABC, True), "hb468frq9k9f1d0fck3aam8m0pjm1p77-seed"),
        (store.Artifact(DEB, ABC, True), f"s8ayfy53l9mrckaybiv910incv26x1l5-{DEB}"),
    ],
)
def test_a_store_path_is_nix_s(artifact, path):
    assert artifact.path == f"/nix/store/{path}"


def test_the_hash_of_a_file_s_archive_is_nix_s(tmp_path):
    (tmp_path / "b").write_text("hello\n")
    expected = "1c37d01af40be2e80691de3cc3df44377a699afbb17c68f080964b2fd071fc13"
    assert store.archive_sha256(tmp_path / "b") == expected


def test_the_hash_of_a_tree_is_nix_s(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "b").write_text("hello\n")
    (tmp_path / "B.txt").write_text("x")
    (tmp_path / "sub/run").write_text("#!/bin/sh\n")
    (tmp_path / "sub/run").chmod(0o755)
    (tmp_path / "sub/link").symlink_to("../b")
    expected = "2f7d2fa1452931ad873ee1d8c28306bbc84b2b7958fff261d3fb9007e089de15"
    assert store.archive_sha256(tmp_path) == expected


NAMES = st.text("abcAB.-_é", min_size=1, max_size=6).filter(lambda name: name not in (".", ".."))
TREES = st.recursive(
    st.binary(max_size=40) | st.builds(lambda name: ("link", name), NAMES),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


def plant(node, path):
    if isinstance(node, dict):
        path.mkdir()
        for name, child in node.items():
            plant(child, path / name)
    elif isinstance(node, tuple):
        path.symlink_to(node[1])
    else:
        path.write_bytes(node)
        path.chmod(0o755 if len(node) % 2 else 0o644)


@pytest.mark.skipif(not shutil.which("nix-hash"), reason="nix-hash is not on PATH to compare with")
@settings(max_examples=30, deadline=None)
@given(TREES)
def test_the_hash_of_any_tree_is_nix_s(node):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node"
        plant(node, path)
        command = ["nix-hash", "--type", "sha256", "--base16", str(path)]
        nix = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        assert store.archive_sha256(path) == nix


def test_the_store_is_asked_which_paths_are_valid(program):
    have, lack = store.Artifact("have", EMPTY), store.Artifact("lack", EMPTY)
    # A path on disk that a killed Nix did not register is printed as invalid.
    program("nix-store", f'[ "$1 $2" = "--check-validity --print-invalid" ] && echo {lack.path}')
    assert store.missing([have, lack]) == {lack}


def test_a_store_that_cannot_be_read_is_an_error(program):
    program("nix-store", "echo 'error: no such database' >&2; exit 1")
    with pytest.raises(BringError, match="error: no such database"):
        store.missing([store.Artifact("a", EMPTY)])


def test_a_file_of_another_hash_is_refused(tmp_path):
    (tmp_path / "x.whl").write_text("abd")
    with pytest.raises(BringError, match=rf"x\.whl has sha256 .*the lock says {ABC}"):
        store.compare(tmp_path / "x.whl", ABC)


def test_a_full_disk_is_one_sentence(program, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGMA_DATA", "/data")
    program("nix-store", "echo 'error: writing: No space left on device' >&2; exit 1")
    with pytest.raises(BringError, match="no disk space left below /data or in the Nix store"):
        store.add([tmp_path])
