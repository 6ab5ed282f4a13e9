"""Make one layout of the images of several architectures: `nix run .#image-merge -- OUT LAYOUT LAYOUT`.

Each role of the new layout is an image index (image-spec 1.1, image-index.md) with one manifest per
architecture. The manifests keep their digests. The new layout has copies of all blobs, no links.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

from layout import INDEX, Json, Layout
from stored import REF_NAME, ImageError, Stored, run

CHUNK = 1 << 20


def architecture(layout: Stored) -> str:
    """Return the architecture of a layout's images.

    Raises:
        ImageError: It has several, or none is named.
    """
    found: set[str] = {
        manifest.get("platform", {}).get("architecture", "unknown")
        for role in layout.entries
        for manifest in layout.manifests(role)
    }
    if len(found) != 1 or "unknown" in found:
        raise ImageError(
            f"{layout.folder} has images for {', '.join(sorted(found))}: "
            "merge layouts of one architecture each"
        )
    return found.pop()


def compare(layouts: list[Stored]) -> None:
    """Refuse layouts that are not one and the same thing for different architectures.

    Raises:
        ImageError: Two have the same architecture, or other roles or another revision.
    """
    first = layouts[0]
    seen: dict[str, Path] = {}
    for layout in layouts:
        name = architecture(layout)
        if name in seen:
            raise ImageError(
                f"{seen[name]} and {layout.folder} are both for {name}: "
                "build one of them on the other architecture"
            )
        seen[name] = layout.folder
        if layout.entries.keys() != first.entries.keys():
            raise ImageError(
                f"{first.folder} has {', '.join(first.entries)}, "
                f"{layout.folder} has {', '.join(layout.entries)}: build both from one commit"
            )
        for role in first.entries:
            ours, theirs = (of.revision(role) for of in (first, layout))
            if ours != theirs:
                raise ImageError(
                    f"{role} is of revision {ours} in {first.folder}, of {theirs} in "
                    f"{layout.folder}: build both from one commit"
                )
            if ours == "unknown":
                raise ImageError(
                    f"{first.folder} does not say what commit it is of: build it again"
                )


def copy(layout: Stored, descriptor: Json, out: Layout) -> None:
    """Copy a blob, once, and compare it with its digest.

    Raises:
        ImageError: It is missing or damaged.
    """
    target = out.blobs / descriptor["digest"].removeprefix("sha256:")
    if target.exists():
        return
    digest = hashlib.sha256()
    try:
        source = layout.blob(descriptor).open("rb")
    except OSError as error:
        raise layout.damaged(descriptor) from error
    with source, target.open("wb") as sink:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            sink.write(chunk)
    if digest.hexdigest() != target.name:
        raise layout.damaged(descriptor)


def merge_role(role: str, layouts: list[Stored], out: Layout) -> Json:
    """Write the index of a role with the blobs that it refers to; return its entry in index.json."""
    entries = []
    for layout in layouts:
        manifest = layout.manifests(role)[0]
        for descriptor in (manifest, *layout.blobs(manifest)):
            copy(layout, descriptor, out)
        entries.append({key: manifest[key] for key in ("mediaType", "digest", "size", "platform")})
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": entries,
        "annotations": shared([layout.labels(role) for layout in layouts]),
    }
    commit = shared([layout.commit(role) for layout in layouts])
    return out.add(INDEX, index) | {"annotations": commit | {REF_NAME: role}}


def shared(labels: list[dict[str, str]]) -> dict[str, str]:
    """Return what all of some sets of labels have with the same text."""
    return dict(set.intersection(*(set(one.items()) for one in labels)))


def merge(target: Path, folders: list[Path]) -> None:
    """Write the layout `target`, whole or not at all; the order of the folders does not matter.

    Raises:
        ImageError: It is there already or cannot be written, or the layouts do not fit together.
    """
    layouts = sorted(map(Stored, folders), key=architecture)
    compare(layouts)
    if target.exists() or target.is_symlink():
        raise ImageError(f"{target} is there already: name a new folder")
    try:
        with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as scratch:
            out = Layout(Path(scratch) / "layout")
            out.finish([merge_role(role, layouts, out) for role in layouts[0].entries])
            out.out.rename(target)
    except OSError as error:
        raise ImageError(f"{target} cannot be written: {error.strerror or error}") from error
    names = ", ".join(map(architecture, layouts))
    print(f"{target}: {', '.join(layouts[0].entries)} for {names}")


def main() -> None:
    """Parse the arguments and merge."""
    parser = argparse.ArgumentParser(
        prog="image-merge", description="Make one layout of the images of several architectures."
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to make")
    parser.add_argument("first", metavar="LAYOUT", type=Path, help="what `nix build .#image` made")
    parser.add_argument(
        "others", metavar="LAYOUT", type=Path, nargs="+", help="the same for another architecture"
    )
    arguments = parser.parse_args()
    merge(arguments.out, [arguments.first, *arguments.others])


if __name__ == "__main__":
    run("image-merge", main)
