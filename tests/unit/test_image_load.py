"""What docker reads of a layout, and machines where nothing can be loaded; tests/image/test_load.py loads."""

import io
import json
import tarfile

import pytest
from small_layouts import small_layout

import load
import stored
from merge import merge
from stored import ImageError, Stored

ROLES = {"daemon": ["base", "dagster"], "web": ["base", "web"]}


@pytest.fixture
def layout(tmp_path):
    return Stored(small_layout(tmp_path / "layout", ROLES))


def archive(layout, roles):
    stream = io.BytesIO()
    load.write_archive(layout, roles, stream)
    stream.seek(0)
    return tarfile.open(fileobj=stream)


def test_the_archive_has_each_blob_once_and_no_links(layout):
    with archive(layout, ["daemon", "web"]) as tar:
        names = tar.getnames()
        assert all(member.isreg() for member in tar)
        listing = json.load(tar.extractfile("manifest.json"))
    assert [image["RepoTags"] for image in listing] == [
        [f"localhost/dagma/{role}:1.2", f"localhost/dagma/{role}:latest"] for role in ROLES
    ]
    wanted = {path for image in listing for path in (image["Config"], *image["Layers"])}
    assert sorted(names) == sorted(["manifest.json", *wanted])
    assert listing[0]["Layers"][0] == listing[1]["Layers"][0]


def test_of_several_architectures_this_machines_is_taken(layout, tmp_path, monkeypatch):
    other = small_layout(tmp_path / "arm64", ROLES, "arm64")
    merge(tmp_path / "both", [layout.folder, other])
    monkeypatch.setattr(stored.platform, "machine", lambda: "aarch64")
    with archive(Stored(tmp_path / "both"), ["web"]) as tar:
        listing = json.load(tar.extractfile("manifest.json"))
        config = json.load(tar.extractfile(listing[0]["Config"]))
    assert config["architecture"] == "arm64"


def test_an_architecture_that_is_not_there_is_said(layout, tmp_path, monkeypatch):
    other = small_layout(tmp_path / "arm64", ROLES, "arm64")
    merge(tmp_path / "both", [layout.folder, other])
    monkeypatch.setattr(stored.platform, "machine", lambda: "riscv64")
    with pytest.raises(ImageError, match="no images for riscv64"):
        archive(Stored(tmp_path / "both"), ["web"])


@pytest.mark.parametrize("tool", ["podman", "docker"])
def test_a_runtime_that_is_not_there_is_said(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match=f"{tool} is not on PATH: install it"):
        load.check_runtime(tool)


def test_a_daemon_that_does_not_run_is_said(program):
    program("docker", "echo 'Cannot connect to the Docker daemon at x.' >&2; exit 1")
    with pytest.raises(ImageError, match=r"Cannot connect .*start its daemon"):
        load.check_runtime("docker")


def test_a_role_that_is_not_there_is_said(layout):
    with pytest.raises(ImageError, match="no image 'typo', there are daemon, web"):
        layout.choose(["typo"])
    assert layout.choose([]) == ["daemon", "web"]
