"""Layouts of some hundred bytes, and the commands of the flake that take layouts."""

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from layout import CONFIG, MANIFEST, PREFIX, Layout
from stored import REF_NAME

ROOT = Path(__file__).resolve().parents[1]
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(text):
    """Return a layer with one file, and its digest before compression."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        member = tarfile.TarInfo(f"{text}.txt")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(plain.getvalue(), mtime=0), digest(plain.getvalue())


def small_layout(folder, roles, architecture="amd64", revision="abc"):
    """Write a layout: role -> the texts of its layers. Blobs of layers are links, as in the real one."""
    out = Layout(folder)
    (folder / "layers").mkdir()
    target = {"architecture": architecture, "os": "linux"}
    labels = {f"{PREFIX}.version": "1.2"}
    commit = {f"{PREFIX}.revision": revision, f"{PREFIX}.created": "2026-01-01T00:00:00Z"}
    manifests = []
    for role, texts in roles.items():
        layers, diff_ids = [], []
        for text in texts:
            content, diff_id = layer(text)
            name = digest(content).removeprefix("sha256:")
            (folder / "layers" / name).write_bytes(content)
            if not (out.blobs / name).is_symlink():
                (out.blobs / name).symlink_to(f"../../layers/{name}")
            layers.append({"mediaType": LAYER, "digest": f"sha256:{name}", "size": len(content)})
            diff_ids.append(diff_id)
        rootfs = {"type": "layers", "diff_ids": diff_ids}
        config = target | {"config": {"Labels": labels, "User": "65532"}, "rootfs": rootfs}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": out.add(CONFIG, config),
            "layers": layers,
            "annotations": labels | {f"{PREFIX}.title": role},
        }
        named = {"annotations": commit | {REF_NAME: role}, "platform": target}
        manifests.append(out.add(MANIFEST, manifest) | named)
    out.finish(manifests)
    return folder


@cache
def command(name):
    """Return the path of a command of the flake: on PATH, as in `nix flake check`, or by ./nixw."""
    found = shutil.which(name)
    if found:
        return found
    system = f"{platform.machine()}-linux"
    nixw = str(ROOT / "nixw")
    subprocess.run([nixw, "run", f".#{name}", "--", "--help"], check=True, capture_output=True)
    program = f".#apps.{system}.{name}.program"
    return subprocess.check_output([nixw, "eval", "--raw", program], text=True)


def run(name, *arguments, **environment):
    """Run a command of the flake, with variables set over those that there are."""
    return subprocess.run(
        [command(name), *map(str, arguments)],
        env=os.environ | {key: str(value) for key, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
    )


def done(name, *arguments, **environment):
    """Return what a command printed; it must succeed."""
    ran = run(name, *arguments, **environment)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran.stdout


def refused(name, *arguments, **environment):
    """Return the one line of a command that must fail."""
    ran = run(name, *arguments, **environment)
    assert ran.returncode != 0, ran.stdout
    lines = ran.stderr.splitlines()
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith(f"{name}: ")
    return lines[0]


def read(folder, descriptor):
    """Return a JSON blob of a layout."""
    return json.loads((folder / "blobs" / descriptor["digest"].replace(":", "/")).read_text())
