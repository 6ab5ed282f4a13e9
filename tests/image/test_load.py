"""image-load into the machine's podman and docker, each where it works."""

import json
import platform
import shutil
import subprocess

import pytest
from small_layouts import done, read, refused, small_layout

from stored import ARCHITECTURES, Stored

# Names that no image of the machine has, so that none is replaced: docker has one storage.
ROLES = {"small-test-daemon": ["base", "dagster"], "small-test-web": ["base", "web"]}
HERE = ARCHITECTURES[platform.machine()]
ELSEWHERE = "arm64" if HERE == "amd64" else "amd64"
NAMES = {f"localhost/dagma/{role}:{tag}" for role in ROLES for tag in ("1.2", "latest")}


def ask(*command):
    return subprocess.check_output(command, text=True).strip()


def image(tool, name):
    return json.loads(ask(tool, "image", "inspect", name))[0]


def names(tool):
    return set(ask(tool, "images", "--format", "{{.Repository}}:{{.Tag}}").split())


@pytest.fixture(params=["podman", "docker"])
def tool(request, tmp_path, monkeypatch):
    """podman with a storage of its own, or docker, without the images of these tests."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not on PATH")
    storage = {"driver": "vfs", "graphroot": tmp_path / "storage", "runroot": tmp_path / "run"}
    lines = ["[storage]", *(f'{key} = "{value}"' for key, value in storage.items())]
    (tmp_path / "storage.conf").write_text("\n".join(lines))
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    question = [request.param, {"podman": "info", "docker": "version"}[request.param]]
    works = subprocess.run(question, capture_output=True, text=True, check=False)
    if works.returncode:
        pytest.skip(f"{request.param} does not work: {works.stderr.strip().splitlines()[-1]}")
    yield request.param
    subprocess.run([request.param, "rmi", "-f", *NAMES], capture_output=True, check=False)


@pytest.fixture
def layout(tmp_path):
    return small_layout(tmp_path / "layout", ROLES, HERE)


def test_each_role_is_named_after_its_version_and_latest(tool, layout):
    before = names(tool)
    printed = done("image-load", "--layout", layout, tool)
    assert names(tool) - before == NAMES
    assert all(name in printed for name in NAMES)
    for role, entry in Stored(layout).entries.items():
        config = read(layout, read(layout, entry)["config"])
        for tag in ("1.2", "latest"):
            loaded = image(tool, f"localhost/dagma/{role}:{tag}")
            assert loaded["RootFS"]["Layers"] == config["rootfs"]["diff_ids"]
            assert loaded["Config"]["User"] == "65532"
            assert "org.opencontainers.image.revision" not in loaded["Config"]["Labels"]


def test_the_commit_is_a_label_when_asked_for(tool, layout):
    done("image-load", "--layout", layout, "--label-revision", tool)
    for role in ROLES:
        labels = image(tool, f"localhost/dagma/{role}:1.2")["Config"]["Labels"]
        assert labels["org.opencontainers.image.revision"] == "abc"
        assert labels["org.opencontainers.image.version"] == "1.2"


def test_one_role_is_loaded_alone(tool, layout):
    before = names(tool)
    done("image-load", "--layout", layout, tool, "small-test-web")
    assert names(tool) - before == {name for name in NAMES if "web" in name}


def test_a_newer_image_takes_the_names(tool, layout, tmp_path):
    done("image-load", "--layout", layout, tool)
    edited = small_layout(tmp_path / "edited", {"small-test-web": ["base", "edited"]}, HERE)
    done("image-load", "--layout", edited, tool)
    name = "localhost/dagma/small-test-web"
    layers = image(tool, f"{name}:latest")["RootFS"]["Layers"]
    assert layers == image(tool, f"{name}:1.2")["RootFS"]["Layers"]
    assert layers[0] == image(tool, "localhost/dagma/small-test-daemon")["RootFS"]["Layers"][0]


def test_of_several_architectures_this_machines_is_loaded(tool, layout, tmp_path):
    other = small_layout(tmp_path / "other", ROLES, ELSEWHERE)
    done("image-merge", tmp_path / "both", layout, other)
    done("image-load", "--layout", tmp_path / "both", tool)
    assert image(tool, "localhost/dagma/small-test-web")["Architecture"] == HERE


@pytest.mark.skipif(not shutil.which("podman"), reason="podman is not on PATH")
def test_the_images_of_the_flake_are_loaded_when_no_layout_is_named():
    printed = done("image-load", "podman", "daemon")
    loaded = image("podman", printed.split()[-1])
    assert loaded["Config"]["Cmd"][0] == "dagster-daemon"


@pytest.mark.skipif(not shutil.which("docker"), reason="docker is not on PATH")
def test_a_docker_daemon_that_does_not_run_is_said(layout, tmp_path):
    address = f"unix://{tmp_path}/docker.sock"
    message = refused("image-load", "--layout", layout, "docker", DOCKER_HOST=address)
    assert "start its daemon" in message
