"""What image-push attaches, and image-verify, against a real registry on the loopback device."""

# ruff: noqa: F811  # a fixture of another file
import base64
import json
import subprocess
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from small_layouts import done, refused, run, small_layout
from test_push import LOGIN, PLAIN, ROLES, a_registry, registry  # noqa: F401

import signing
from artifacts import Artifacts, bare
from attach import Repository
from registry import Registry
from stored import Stored

TYPES = ["application/vnd.cyclonedx+json", "application/vnd.in-toto+json"]
SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIMPLE = "dev.cosignproject.cosign/signature"


def key_pair(folder, name="key", password=None):
    """Write a private key as `openssl genpkey` does, and its public one."""
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub"
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    lock = serialization.NoEncryption()
    if password:
        lock = serialization.BestAvailableEncryption(password.encode())
    secret.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock))
    secret.chmod(0o600)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, form))
    return secret, public


@pytest.fixture
def keys(tmp_path):
    return key_pair(tmp_path)


def evidence(layout, folder):
    """Write lists of components and provenance of a small layout."""
    folder.mkdir()
    for role, entry in Stored(layout).entries.items():
        (folder / f"{role}.cdx.json").write_text(json.dumps({"bomFormat": role}))
        digest = entry["digest"].removeprefix("sha256:")
        statement = {"subject": [{"name": role, "digest": {"sha256": digest}}]}
        (folder / f"{role}.provenance.json").write_text(json.dumps(statement))
    return folder


class Pushed:
    """A layout in a registry with what belongs to it."""

    def __init__(self, registry, folder, keys):
        self.registry, self.folder, self.keys = registry, folder, keys
        self.layout = small_layout(folder / "layout", ROLES)
        self.sbom = evidence(self.layout, folder / "sbom")

    def words(self, layout=None, sbom=None):
        given = ("--layout", layout or self.layout, "--sbom", sbom or self.sbom)
        return (*given, f"{self.registry.address}/team", PLAIN)

    def push(self, *more, **other):
        return done("image-push", *self.words(**other), *more)

    def verify(self, *more, **other):
        return done("image-verify", *self.words(**other), *more)

    def wrong(self, *more, **other):
        ran = run("image-verify", *self.words(**other), *more)
        assert ran.returncode == 1, ran.stdout
        return ran.stderr.splitlines()

    def digest(self, role):
        return Stored(self.layout).entries[role]["digest"]

    def referrers(self, role):
        tag = self.digest(role).replace(":", "-")
        return json.loads(self.registry.raw(f"team/{role}:{tag}"))["manifests"]

    def blob(self, role, digest):
        return self.registry.get(f"team/{role}/blobs/{digest}")

    def push_signed(self, form):
        """Push, and sign with the key in one of cosign's forms alone."""
        self.push()
        key = signing.private_key(self.keys[0])
        for role in ROLES:
            scratch = Artifacts(self.folder / f"scratch-{role}")
            registry = Registry(self.registry.address, [PLAIN])
            there = Repository(registry, f"{self.registry.address}/team/{role}", scratch)
            for subject in [*self.referrers(role), bare(Stored(self.layout).entries[role])]:
                there.refer(subject, [getattr(there, form)(subject, key)])


@pytest.fixture
def pushed(registry, tmp_path, keys):
    return Pushed(registry, tmp_path, keys)


def test_list_and_provenance_are_attached_to_the_image(pushed):
    printed = pushed.push()
    assert printed.count("attached to it: list of components, provenance\n") == len(ROLES)
    assert [entry["artifactType"] for entry in pushed.referrers("web")] == TYPES
    for entry in pushed.referrers("web"):
        manifest = json.loads(pushed.registry.raw(f"team/web@{entry['digest']}"))
        assert manifest["subject"]["digest"] == pushed.digest("web")
        assert manifest["artifactType"] == entry["artifactType"]
    listed = json.loads(pushed.registry.raw(f"team/web@{pushed.referrers('web')[0]['digest']}"))[
        "layers"
    ][0]
    assert listed["annotations"] == {"org.opencontainers.image.title": "web.cdx.json"}
    assert pushed.blob("web", listed["digest"]) == {"bomFormat": "web"}


def test_pushing_again_attaches_nothing_more(pushed):
    pushed.push()
    entries = pushed.referrers("web")
    pushed.push()
    assert pushed.referrers("web") == entries


def test_what_is_attached_already_stays(pushed):
    pushed.push()
    first = pushed.referrers("web")
    (pushed.sbom / "web.cdx.json").write_text("{}")  # such as a scanner's
    pushed.push()
    assert [entry for entry in first if entry not in pushed.referrers("web")] == []
    assert len(pushed.referrers("web")) == 3


def test_an_image_without_a_list_is_said(pushed, tmp_path):
    edited = small_layout(tmp_path / "edited", ROLES | {"web": ["base", "edited"]})
    printed = pushed.push(layout=edited)
    assert "attached to it: nothing, no --sbom is about it" in printed


def test_a_pushed_image_is_that_of_the_checkout(pushed):
    pushed.push()
    printed = pushed.verify()
    for role in ROLES:
        assert f"team/{role}:1.2 is {pushed.digest(role)}, as built from this checkout" in printed
    assert printed.count("is attached, as made from this checkout") == 2 * len(ROLES)


def test_an_image_of_another_commit_is_refused(pushed, tmp_path):
    pushed.push()
    edited = small_layout(tmp_path / "edited", ROLES | {"web": ["base", "edited"]})
    (line,) = pushed.wrong("web", layout=edited)
    assert f"web:1.2 is {pushed.digest('web')}, and this checkout makes sha256:" in line


def test_an_image_that_is_not_there_is_refused(pushed):
    lines = pushed.wrong()
    assert [line.endswith(":1.2 is not there") for line in lines] == [True, True]


def test_a_list_that_is_not_attached_or_another_is_refused(pushed):
    done("image-push", "--layout", pushed.layout, *pushed.words()[4:])
    assert len(pushed.wrong()) == 2 * len(ROLES)
    pushed.push()
    (pushed.sbom / "web.cdx.json").write_text("{}")
    (line,) = pushed.wrong()
    assert f"{TYPES[0]} of {pushed.digest('web')} is not attached, or another one" in line


def test_a_signature_is_cosigns(pushed):
    secret, public = pushed.keys
    pushed.push("--key", secret)
    signature = pushed.digest("web").replace(":", "-") + ".sig"
    (layer,) = json.loads(pushed.registry.raw(f"team/web:{signature}"))["layers"]
    assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    document = pushed.blob("web", layer["digest"])
    assert document["critical"] == {
        "identity": {"docker-reference": f"{pushed.registry.address}/team/web"},
        "image": {"docker-manifest-digest": pushed.digest("web")},
        "type": "cosign container image signature",
    }
    plain = json.dumps(document, separators=(",", ":")).encode()
    assert f"sha256:{sha256(plain).hexdigest()}" == layer["digest"]
    key = serialization.load_pem_public_key(public.read_bytes())
    key.verify(base64.b64decode(layer["annotations"][SIMPLE]), plain, ec.ECDSA(hashes.SHA256()))


def test_signed_images_are_verified_by_key(pushed, tmp_path):
    secret, public = pushed.keys
    pushed.push("--key", secret)
    printed = pushed.verify("--key", public)
    # The manifest, the list and the provenance of each.
    assert printed.count(" is signed\n") == 3 * len(ROLES)
    assert [entry["artifactType"] for entry in pushed.referrers("web")] == [
        *TYPES,
        SIGNATURE,
        BUNDLE,
    ]
    entries = pushed.referrers("web")
    pushed.push("--key", secret)
    assert pushed.referrers("web") == entries


@pytest.mark.parametrize("form", ["document", "bundle"])
def test_one_of_cosigns_forms_is_enough(pushed, form, tmp_path):
    pushed.push_signed(form)
    assert pushed.verify("--key", pushed.keys[1]).count(" is signed\n") == 3 * len(ROLES)
    lines = pushed.wrong("--key", key_pair(tmp_path, "other")[1])
    assert len(lines) == 3 * len(ROLES)
    assert all(line.endswith("is not signed with this key") for line in lines)


def test_a_signature_of_another_key_is_refused_and_both_can_stand(pushed, tmp_path):
    other, others = key_pair(tmp_path, "other")
    pushed.push("--key", other)
    assert all(
        line.endswith("is not signed with this key")
        for line in pushed.wrong("--key", pushed.keys[1])
    )
    pushed.push("--key", pushed.keys[0])
    pushed.verify("--key", pushed.keys[1])
    pushed.verify("--key", others)


def test_a_signature_of_another_digest_is_refused(pushed):
    pushed.push_signed("document")
    daemon, web = (pushed.digest(role).replace(":", "-") for role in ("daemon", "web"))
    copy = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", PLAIN]
    source, target = (
        f"docker://{pushed.registry.address}/team/{role}:{tag}.sig"
        for role, tag in (("daemon", daemon), ("web", web))
    )
    subprocess.run([*copy, source, target], check=True, capture_output=True)
    (line,) = pushed.wrong("web", "--key", pushed.keys[1])
    assert line.endswith("is not signed with this key")


def test_an_unsigned_image_is_refused_with_a_key(pushed):
    pushed.push()
    lines = pushed.wrong("--key", pushed.keys[1])
    assert len(lines) == 3 * len(ROLES)
    assert all(line.endswith("has no signature") for line in lines)


def test_both_architectures_and_their_index_are_signed(pushed, tmp_path):
    arm = small_layout(tmp_path / "arm64", ROLES, "arm64")
    lists = evidence(arm, tmp_path / "arm64-sbom")
    both = tmp_path / "both"
    done("image-merge", both, pushed.layout, arm)
    more = ("--sbom", lists, "--key")
    pushed.push(*more, pushed.keys[0], layout=both)
    printed = pushed.verify(*more, pushed.keys[1], layout=both)
    assert printed.count("  index sha256:") == len(ROLES)
    assert printed.count(" is signed\n") == 7 * len(ROLES)
    assert printed.count("is attached") == 4 * len(ROLES)


def test_a_key_that_others_may_read_is_refused(pushed):
    pushed.keys[0].chmod(0o644)
    assert "chmod 600" in refused("image-push", *pushed.words(), "--key", pushed.keys[0])


def test_a_key_with_a_password(pushed, tmp_path):
    locked, public = key_pair(tmp_path, "locked", "secret")
    words = (*pushed.words(), "--key", locked)
    assert "COSIGN_PASSWORD is not its password" in refused("image-push", *words)
    done("image-push", *words, COSIGN_PASSWORD="secret")
    pushed.verify("--key", public)


def test_a_registry_that_wants_a_login(tmp_path, keys):
    (tmp_path / "htpasswd").write_text(LOGIN)
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    (tmp_path / "registry").mkdir()
    with a_registry(tmp_path / "registry", auth) as registry:
        pushed, file = Pushed(registry, tmp_path, keys), tmp_path / "auth.json"
        message = refused("image-verify", *pushed.words(), REGISTRY_AUTH_FILE=file)
        assert f"skopeo login {registry.address}" in message
        login = ["skopeo", "login", "--tls-verify=false", f"--authfile={file}", "--username=team"]
        login += ["--password-stdin", registry.address]
        subprocess.run(login, input="secret", text=True, check=True, capture_output=True)
        done("image-push", *pushed.words(), "--key", keys[0], REGISTRY_AUTH_FILE=file)
        words = (*pushed.words(), "--key", keys[1], f"--authfile={file}")
        assert done("image-verify", *words).count(" is signed\n") == 3 * len(ROLES)


def test_a_registry_without_tls_is_refused_unless_asked_for(pushed):
    words = [word for word in pushed.words() if word != PLAIN]
    assert "add --dest-tls-verify=false" in refused("image-verify", *words)


def test_the_images_of_the_flake_are_verified_when_no_layout_is_named(registry):
    target = (f"{registry.address}/team:real", "daemon", PLAIN)
    done("image-push", *target, "--allow-dirty")
    printed = done("image-verify", *target)
    assert [kind in printed for kind in TYPES] == [True, True]
