"""Label images with the commit that they were made from, which only index.json names otherwise.

For tools that look for `org.opencontainers.image.revision` and `created` in an image itself. Layers are
the same; configuration and manifest, and so the digest, are another for each commit.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layout import CONFIG, INDEX, MANIFEST, Json, Layout
from stored import Stored


@contextmanager
def chosen(arguments: argparse.Namespace) -> Iterator[Stored]:
    """Open the layout that the options of `add_layout` ask for.

    Raises:
        ImageError: It is none, or not whole.
    """
    layout = Stored(arguments.layout)
    if arguments.label_revision:
        with tempfile.TemporaryDirectory() as scratch:
            yield labelled(layout, Path(scratch) / "layout")
    else:
        yield layout


def labelled(layout: Stored, folder: Path) -> Stored:
    """Write a layout of the same images with these labels into a new folder; its layers are links.

    Raises:
        ImageError: The layout is not whole.
    """
    out = Layout(folder)
    for blob in (layout.folder / "blobs/sha256").iterdir():
        (out.blobs / blob.name).symlink_to(blob.resolve())
    out.finish([label_role(layout, role, out) for role in layout.entries])
    return Stored(folder)


def label_role(layout: Stored, role: str, out: Layout) -> Json:
    """Write a role's manifests, and its index where it has one; return its entry in index.json."""
    entry, commit = layout.entries[role], layout.commit(role)
    named = {"annotations": entry["annotations"]}
    manifests = [label_manifest(layout, one, commit, out) for one in layout.manifests(role)]
    if entry["mediaType"] != INDEX:
        return manifests[0] | named
    index = layout.read(entry) | {"manifests": manifests}
    index["annotations"] = index.get("annotations", {}) | commit
    return out.add(INDEX, index) | named


def label_manifest(layout: Stored, descriptor: Json, commit: dict[str, str], out: Layout) -> Json:
    """Write one manifest and its configuration; return its descriptor."""
    manifest = layout.read(descriptor)
    config = layout.read(manifest["config"])
    config["config"]["Labels"] = config["config"].get("Labels", {}) | commit
    manifest["config"] = out.add(CONFIG, config)
    manifest["annotations"] = manifest.get("annotations", {}) | commit
    return out.add(MANIFEST, manifest) | {"platform": descriptor["platform"]}
