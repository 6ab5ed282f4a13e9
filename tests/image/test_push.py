"""image-push and image-merge against a real registry on the loopback device."""

import json
import re
import shutil
import socket
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest
from platform_client import free_ports, wait_for
from small_layouts import done, read, refused, small_layout

from stored import Stored

PLAIN = "--dest-tls-verify=false"
REVISION = "org.opencontainers.image.revision"
ROLES = {"daemon": ["base", "dagster"], "web": ["base", "web"]}
# user `team`, password `secret`: bcrypt is the only form that the registry reads.
LOGIN = "team:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


class Registry:
    """A registry, and what it was asked for."""

    def __init__(self, port, log):
        self.address = f"127.0.0.1:{port}"
        self.log = log

    def uploads(self):
        """Return the requests that carried a blob's content so far."""
        return re.findall(r'"PATCH (/v2/\S+)/blobs/uploads', self.log.read_text())

    def mounts(self):
        """Return the requests that took a blob over from another repository."""
        return re.findall(r'"POST /v2/\S+[?&]mount=\S+ HTTP/1.1" 201', self.log.read_text())

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}/v2/{path}", timeout=10) as answer:
            return json.load(answer)

    def raw(self, name):
        """Return what skopeo reads back: a manifest or an index."""
        source = f"docker://{self.address}/{name}"
        return subprocess.check_output(["skopeo", "inspect", "--tls-verify=false", "--raw", source])


@contextmanager
def a_registry(folder, auth=None):
    """Run a registry with its data in a folder."""
    if not shutil.which("registry"):
        pytest.skip("no program `registry` on PATH: `nix develop` has it")
    [port] = free_ports(1)
    config = {
        "version": 0.1,
        "http": {"addr": f"127.0.0.1:{port}"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        **({"auth": auth} if auth else {}),
    }
    # JSON is YAML.
    (folder / "config.yml").write_text(json.dumps(config))
    log = folder / "registry.log"
    with log.open("w") as sink:
        server = subprocess.Popen(
            ["registry", "serve", str(folder / "config.yml")], stdout=sink, stderr=sink
        )
    try:
        wait(port, server, log)
        yield Registry(port, log)
    finally:
        server.terminate()
        server.wait(20)


def wait(port, server, log):
    def answers():
        assert server.poll() is None, f"the registry ended:\n{log.read_text()}"
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers, 60, "the registry")


@pytest.fixture
def registry(tmp_path):
    (tmp_path / "registry").mkdir()
    with a_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def layout(tmp_path):
    return small_layout(tmp_path / "layout", ROLES)


def test_each_role_is_pushed_with_the_version_as_its_tag(registry, layout):
    printed = done("image-push", "--layout", layout, f"{registry.address}/team", PLAIN)
    assert registry.get("_catalog")["repositories"] == ["team/daemon", "team/web"]
    for role, entry in Stored(layout).entries.items():
        assert registry.get(f"team/{role}/tags/list")["tags"] == ["1.2"]
        assert f"{role} -> {registry.address}/team/{role}:1.2\n" in printed
        assert json.loads(registry.raw(f"team/{role}:1.2")) == read(layout, entry)


def test_what_roles_share_is_sent_once(registry, layout):
    printed = done("image-push", "--layout", layout, f"{registry.address}/team:x", PLAIN)
    # 3 layers and 2 configurations; the second role takes the shared layer from the first.
    assert len(registry.uploads()) == 5
    assert len(registry.mounts()) == 1
    assert re.findall(r"blobs sent: (\d) .*, there already: (\d)", printed) == [
        ("3", "0"),
        ("2", "1"),
    ]
    assert len(re.findall(r"^  sent .* sha256:", printed, re.MULTILINE)) == 5


def test_pushing_again_sends_no_blob(registry, layout):
    done("image-push", "--layout", layout, f"{registry.address}/team", PLAIN)
    before = registry.uploads()
    printed = done("image-push", "--layout", layout, f"{registry.address}/team", PLAIN)
    assert registry.uploads() == before
    assert re.findall(r"blobs sent: (\d) .*, there already: (\d)", printed) == [
        ("0", "3"),
        ("0", "3"),
    ]


def test_a_new_top_layer_sends_that_layer_and_the_configuration(registry, layout, tmp_path):
    done("image-push", "--layout", layout, f"{registry.address}/team", PLAIN)
    before = len(registry.uploads())
    edited = small_layout(tmp_path / "edited", ROLES | {"web": ["base", "edited"]})
    done("image-push", "--layout", edited, f"{registry.address}/team", PLAIN)
    assert registry.uploads()[before:] == ["/v2/team/web", "/v2/team/web"]


def test_a_commit_that_changes_no_content_sends_nothing(registry, layout, tmp_path):
    done("image-push", "--layout", layout, f"{registry.address}/team:one", PLAIN)
    before = registry.uploads()
    later = small_layout(tmp_path / "later", ROLES, revision="def")
    done("image-push", "--layout", later, f"{registry.address}/team:two", PLAIN)
    assert registry.uploads() == before
    for role in ROLES:
        assert registry.raw(f"team/{role}:one") == registry.raw(f"team/{role}:two")


def test_the_commit_is_a_label_when_asked_for(registry, layout, tmp_path):
    other = small_layout(tmp_path / "arm64", ROLES, "arm64")
    done("image-merge", tmp_path / "both", layout, other)
    for name, folder in (("one", layout), ("both", tmp_path / "both")):
        target = f"{registry.address}/team:{name}"
        done("image-push", "--layout", folder, "--label-revision", target, PLAIN)
        found = json.loads(registry.raw(f"team/web:{name}"))
        assert found["annotations"][REVISION] == "abc"
        assert found["annotations"]["org.opencontainers.image.version"] == "1.2"
        for part in found.get("manifests", []):
            manifest = json.loads(registry.raw(f"team/web@{part['digest']}"))
            assert manifest["annotations"][REVISION] == "abc"
    manifest = json.loads(registry.raw("team/web:one"))
    config = registry.get(f"team/web/blobs/{manifest['config']['digest']}")
    assert config["config"]["Labels"][REVISION] == "abc"


@pytest.mark.parametrize("revision", ["abc-dirty-1", "unknown-1", "unknown"])
def test_what_is_of_no_commit_is_pushed_only_when_asked_for(registry, tmp_path, revision):
    edited = small_layout(tmp_path / "edited", ROLES, revision=revision)
    arguments = ("image-push", "--layout", edited, f"{registry.address}/team", PLAIN)
    message = refused(*arguments)
    assert f"of {revision}, which is no commit" in message
    assert "--allow-dirty" in message
    assert registry.uploads() == []
    done(*arguments, "--allow-dirty")
    assert registry.get("_catalog")["repositories"] == ["team/daemon", "team/web"]


def test_one_role_goes_alone(registry, layout):
    done("image-push", "--layout", layout, f"{registry.address}/team", "web", PLAIN)
    assert registry.get("_catalog")["repositories"] == ["team/web"]


def test_all_architectures_of_a_merged_layout_are_pushed(registry, layout, tmp_path):
    other = small_layout(tmp_path / "arm64", ROLES, "arm64")
    done("image-merge", tmp_path / "both", layout, other)
    done("image-push", "--layout", tmp_path / "both", f"{registry.address}/team", PLAIN)
    for role in ROLES:
        index = json.loads(registry.raw(f"team/{role}:1.2"))
        assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
        assert index == read(tmp_path / "both", Stored(tmp_path / "both").entries[role])
        for part, architecture in zip(index["manifests"], ("amd64", "arm64"), strict=True):
            assert part["platform"]["architecture"] == architecture
            manifest = json.loads(registry.raw(f"team/{role}@{part['digest']}"))
            config = registry.get(f"team/{role}/blobs/{manifest['config']['digest']}")
            assert config["architecture"] == architecture


def test_the_images_of_the_flake_are_pushed_when_no_layout_is_named(registry):
    done("image-push", f"{registry.address}/team:real", PLAIN, "--allow-dirty")
    roles = ["daemon", "mlflow", "user-code", "webserver"]
    assert registry.get("_catalog")["repositories"] == [f"team/{role}" for role in roles]
    sent = len(registry.uploads())
    manifests = [json.loads(registry.raw(f"team/{role}:real")) for role in roles]
    wanted = {layer["digest"] for manifest in manifests for layer in manifest["layers"]}
    # Then what is attached: a list and a provenance each, and the empty configuration of these, which
    # a repository takes over from another where skopeo remembers it.
    attached = sent - len(wanted) - len(roles)
    assert 2 * len(roles) < attached <= 3 * len(roles)


def test_a_registry_that_wants_a_login(tmp_path, layout):
    (tmp_path / "htpasswd").write_text(LOGIN)
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    with a_registry(tmp_path, auth) as registry:
        target = f"{registry.address}/team"
        file = tmp_path / "auth.json"
        arguments = ("image-push", "--layout", layout, target, PLAIN)
        message = refused(*arguments, REGISTRY_AUTH_FILE=file)
        assert f"skopeo login {registry.address}" in message
        login = ["skopeo", "login", "--tls-verify=false", f"--authfile={file}", "--username=team"]
        login += ["--password-stdin", registry.address]
        subprocess.run(login, input="secret", text=True, check=True, capture_output=True)
        assert "blobs sent: 3" in done(*arguments, REGISTRY_AUTH_FILE=file)


def test_a_registry_without_tls_is_refused_unless_asked_for(registry, layout):
    message = refused("image-push", "--layout", layout, f"{registry.address}/team")
    assert "add --dest-tls-verify=false" in message
    assert registry.uploads() == []


def test_a_registry_that_does_not_answer_is_said(layout):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        message = refused("image-push", "--layout", layout, f"{address}/team", PLAIN)
    assert f"{address} did not take it: check its name" in message
