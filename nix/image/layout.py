"""Write an OCI image layout with one image per role, from layers made by layer.py.

Usage: python layout.py OUT SPECIFICATION. The folder it runs in holds `closure-ROLE-N`, what each role refers to,
in the format of Nix's `exportReferencesGraph`. SPECIFICATION is a JSON file:
`commit` (its `revision`, and `created`, its time in seconds since 1970), `architecture`, `labels` for all,
and `roles`: for each its `layers` (store paths made by layer.py, lowest first), `config`, `title` and
`description`.

The commit is named beside each image, in index.json: the digest of an image depends on its content alone.

Blobs of layers are relative links to the layers' own store paths: the layout costs no second copy,
and an edit writes some kilobytes. Follow them when copying (`cp -rL`, `tar --dereference`).
"""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from layer import TIME, closure

type Json = dict[str, Any]

# OCI image specification 1.1: manifest.md, config.md, image-index.md, annotations.md.
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PREFIX = "org.opencontainers.image"
#: Docker's and containerd's overlay file systems take 128 layers at most; some are the user's.
MOST_LAYERS = 100


def encode(value: Json) -> bytes:
    """Return JSON with one form for one value, so that the same content has the same digest."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def written(seconds: int) -> str:
    """Return a time, in seconds since 1970, as the specification writes it (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Layout:
    """A layout being written below a folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.blobs = out / "blobs/sha256"
        self.blobs.mkdir(parents=True)

    def add(self, media_type: str, value: Json) -> Json:
        """Write a JSON blob and return its descriptor (descriptor.md)."""
        content = encode(value)
        name = hashlib.sha256(content).hexdigest()
        # A name that is there has this content, and may be a link into the store.
        if not (self.blobs / name).exists():
            (self.blobs / name).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}

    def link(self, layer: Path, about: Json) -> Json:
        """Link a layer's blob, once, and return its descriptor."""
        blob = self.blobs / about["digest"].removeprefix("sha256:")
        if not blob.is_symlink():
            blob.symlink_to(os.path.relpath(layer / "blob", self.blobs))
        return {key: about[key] for key in ("mediaType", "digest", "size")}

    def finish(self, manifests: list[Json]) -> None:
        """Write the index and the layout's version (image-layout.md)."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        (self.out / "index.json").write_bytes(encode(index))
        (self.out / "oci-layout").write_bytes(encode({"imageLayoutVersion": "1.0.0"}))


def check_paths(role: str, layers: Iterable[Json], wanted: set[str]) -> None:
    """Compare the layers of a role with what it refers to.

    Raises:
        SystemExit: A store path is missing, in two layers, or of no use; or there are too many layers.
    """
    counts = Counter(path for about in layers for path in about["paths"])
    for path in sorted(wanted | set(counts)):
        if path not in wanted:
            sys.exit(f"layout: {path} is in the image {role}, which does not refer to it")
        if counts[path] != 1:
            sys.exit(f"layout: {path} is in {counts[path]} layers of the image {role}, not in one")


def write_image(layout: Layout, role: str, image: Json, common: Json) -> Json:
    """Write the manifest and configuration of one role and return the index's entry for it."""
    layers = [Path(layer) for layer in image["layers"]]
    abouts = [json.loads((layer / "layer.json").read_text()) for layer in layers]
    if len(abouts) > MOST_LAYERS:
        sys.exit(f"layout: {role} has {len(abouts)} layers, {MOST_LAYERS} are allowed")
    check_paths(role, abouts, closure(Path.cwd().glob(f"closure-{role}-*")))
    labels = common["labels"] | {f"{PREFIX}.{key}": image[key] for key in ("title", "description")}
    # That of the files; without one, engines show the year 1.
    created = written(TIME)
    platform = {"architecture": common["architecture"], "os": "linux"}
    config = platform | {
        "created": created,
        "config": image["config"] | {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [about["diffID"] for about in abouts]},
        "history": [{"created": created, "created_by": about["reason"]} for about in abouts],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.add(CONFIG, config),
        "layers": [layout.link(*pair) for pair in zip(layers, abouts, strict=True)],
        "annotations": labels,
    }
    commit = common["commit"]
    named = {
        f"{PREFIX}.ref.name": role,
        f"{PREFIX}.revision": commit["revision"],
        f"{PREFIX}.created": written(commit["created"]),
    }
    return layout.add(MANIFEST, manifest) | {"platform": platform, "annotations": named}


def main(out: Path, specification: Path) -> None:
    """Write the layout."""
    common = json.loads(specification.read_text())
    layout = Layout(out)
    roles = sorted(common["roles"].items())
    layout.finish([write_image(layout, role, image, common) for role, image in roles])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
