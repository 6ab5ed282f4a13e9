"""What image-push signs, and image-verify, beside a real cosign (3.1), where there is one."""

# ruff: noqa: F811  # a fixture of another file
import os
import shutil
import subprocess

import pytest
from small_layouts import done, small_layout
from test_attach import key_pair, keys, pushed  # noqa: F401
from test_push import ROLES, registry  # noqa: F401

from stored import Stored

#: No log and no other service: a key of one's own.
VERIFY = ("verify", "--insecure-ignore-tlog=true")
#: As cosign 3 signs by itself, and as cosign 1 and 2 do.
FORMS = {
    "bundle": ("--signing-config=none.json",),
    "document": ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false"),
}


class Cosign:
    """cosign in a folder with a key pair of its own, `own.key` and `own.pub`."""

    def __init__(self, folder):
        self.folder = folder
        self.do("generate-key-pair", "--output-key-prefix=own")
        self.do("signing-config", "create", "--out=none.json")

    def run(self, *words):
        variables = {"COSIGN_PASSWORD": "", "HOME": str(self.folder)}
        return subprocess.run(
            ["cosign", *map(str, words)],
            cwd=self.folder,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def do(self, *words):
        ran = self.run(*words)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def sign(self, name, form):
        self.do("sign", "--key=own.key", "--yes", *FORMS[form], name)


@pytest.fixture
def cosign(tmp_path):
    if shutil.which("cosign") is None:
        pytest.skip(
            "no cosign on PATH: nixpkgs has it, and so has Go (github.com/sigstore/cosign/v3/cmd/cosign)"
        )
    return Cosign(tmp_path)


def names(pushed, role):
    """Return an image and what is attached to it, by digest."""
    attached = [entry["digest"] for entry in pushed.referrers(role)[:2]]
    repository = f"{pushed.registry.address}/team/{role}"
    return [f"{repository}@{digest}" for digest in (pushed.digest(role), *attached)]


def test_cosign_verifies_what_was_signed(pushed, cosign):
    pushed.push("--key", pushed.keys[0])
    for name in (*names(pushed, "web"), f"{pushed.registry.address}/team/web:1.2"):
        cosign.do(*VERIFY, f"--key={pushed.keys[1]}", name)
        assert cosign.run(*VERIFY, "--key=own.pub", name).returncode != 0
    # As cosign 2.6 is to be asked where Sigstore's own root is out of reach.
    cosign.do("trusted-root", "create", "--out=root.json")
    cosign.do(*VERIFY, "--trusted-root=root.json", f"--key={pushed.keys[1]}", name)


def test_so_of_both_architectures_and_their_index(pushed, cosign, tmp_path):
    arm, both = small_layout(tmp_path / "arm64", ROLES, "arm64"), tmp_path / "both"
    done("image-merge", both, pushed.layout, arm)
    pushed.push("--key", pushed.keys[0], layout=both)
    there = Stored(both)
    for item in (there.entries["web"], *there.manifests("web")):
        name = f"{pushed.registry.address}/team/web@{item['digest']}"
        cosign.do(*VERIFY, f"--key={pushed.keys[1]}", name)


@pytest.mark.parametrize("form", FORMS)
def test_it_does_so_beside_signatures_of_its_own(pushed, cosign, form):
    pushed.push("--key", pushed.keys[0])
    name = names(pushed, "web")[0]
    cosign.sign(name, form)
    cosign.do(*VERIFY, f"--key={pushed.keys[1]}", name)
    # cosign 3 looks for the older form only where there is no bundle at all.
    older = ["--new-bundle-format=false"] if form == "document" else []
    cosign.do(*VERIFY, *older, "--key=own.pub", name)


@pytest.mark.parametrize("form", FORMS)
def test_what_cosign_signed_is_verified(pushed, cosign, form):
    pushed.push()
    for role in ROLES:
        for name in names(pushed, role):
            cosign.sign(name, form)
    printed = pushed.verify("--key", cosign.folder / "own.pub")
    assert printed.count(" is signed\n") == 3 * len(ROLES)


def test_cosign_takes_a_key_without_a_password(cosign):
    secret, public = key_pair(cosign.folder, "ours")
    cosign.do("import-key-pair", f"--key={secret}", "--output-key-prefix=taken")
    assert (cosign.folder / "taken.pub").read_text() == public.read_text()


def test_it_takes_none_with_a_password(cosign):
    """The day it does, docs/images.md has one step less."""
    secret, _ = key_pair(cosign.folder, "locked", "secret")
    ran = cosign.run("import-key-pair", f"--key={secret}", "--output-key-prefix=taken")
    assert "unsupported private key" in ran.stderr
