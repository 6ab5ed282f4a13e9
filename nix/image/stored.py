"""Read an OCI image layout with one image per role, as layout.py or merge.py wrote it."""

import argparse
import hashlib
import json
import platform
import string
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from layout import INDEX, PREFIX, Json

REF_NAME = f"{PREFIX}.ref.name"
REVISION = f"{PREFIX}.revision"
#: The annotations of an entry of index.json that name the commit.
COMMIT = (REVISION, f"{PREFIX}.created")
#: The architectures of images (image-spec's config.md) by the names that machines give themselves.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ImageError(Exception):
    """A command cannot go on; the text is one sentence with what to do."""


class Stored:
    """A layout on disk.

    Raises:
        ImageError: The folder is not such a layout.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            index = json.loads((folder / "index.json").read_text())
            entries = {entry["annotations"][REF_NAME]: entry for entry in index["manifests"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImageError(
                f"{folder} is not an OCI layout of named images: give the folder that "
                "`nix build .#image` or image-merge made"
            ) from error
        #: role -> its descriptor in index.json
        self.entries: dict[str, Json] = dict(sorted(entries.items()))

    def choose(self, roles: list[str]) -> list[str]:
        """Return the roles that were asked for, all when none was.

        Raises:
            ImageError: The layout has no such role.
        """
        for role in roles:
            if role not in self.entries:
                raise ImageError(f"there is no image '{role}', there are {', '.join(self.entries)}")
        return roles or list(self.entries)

    def blob(self, descriptor: Json) -> Path:
        """Return the file of a blob."""
        name: str = descriptor["digest"]
        return self.folder / "blobs" / name.replace(":", "/")

    def read(self, descriptor: Json) -> Json:
        """Return the content of an index, a manifest or a configuration.

        Raises:
            ImageError: The blob is missing or damaged.
        """
        try:
            content = self.blob(descriptor).read_bytes()
        except OSError as error:
            raise self.damaged(descriptor) from error
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != descriptor["digest"]:
            raise self.damaged(descriptor)
        value: Json = json.loads(content)
        return value

    def damaged(self, descriptor: Json) -> ImageError:
        """Return the error for a blob that is not what its digest says."""
        return ImageError(
            f"{self.folder} is not whole, its blob {descriptor['digest']} is missing or damaged: "
            "copy the layout again (`cp -rL`)"
        )

    def manifests(self, role: str) -> list[Json]:
        """Return the descriptors of a role's manifests, one per architecture."""
        entry = self.entries[role]
        if entry["mediaType"] != INDEX:
            return [entry]
        manifests: list[Json] = self.read(entry)["manifests"]
        return manifests

    def blobs(self, manifest: Json) -> Iterator[Json]:
        """Yield the descriptors of a manifest's configuration and layers, the lowest first."""
        content = self.read(manifest)
        yield content["config"]
        yield from content["layers"]

    def labels(self, role: str) -> dict[str, str]:
        """Return the annotations of a role's manifest or index: version, title, ..."""
        labels: dict[str, str] = self.read(self.entries[role]).get("annotations", {})
        return labels

    def commit(self, role: str) -> dict[str, str]:
        """Return what index.json says of the commit that a role was made from: `revision` and `created`."""
        known: dict[str, str] = self.entries[role]["annotations"]
        return {key: known[key] for key in COMMIT if key in known}

    def revision(self, role: str) -> str:
        """Return the commit that a role was made from; `unknown` when the layout does not say it."""
        return self.commit(role).get(REVISION, "unknown")

    def version(self, role: str) -> str:
        """Return the project's version that a role was made from."""
        return self.labels(role)[f"{PREFIX}.version"]


def committed(revision: str) -> bool:
    """Return whether a revision is a commit, and not a tree with edits or of unknown origin."""
    return set(revision) <= set(string.hexdigits)


def this_machine(manifests: list[Json]) -> Json:
    """Return the descriptor for this machine's architecture, or the only one that there is.

    Raises:
        ImageError: There are several, none for this machine.
    """
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    for manifest in manifests:
        if len(manifests) == 1 or manifest["platform"]["architecture"] == architecture:
            return manifest
    raise ImageError(f"the layout has no images for {architecture}: merge some in, or build here")


def add_layout(parser: argparse.ArgumentParser) -> None:
    """Add the option --layout, which the commands of out.nix set to the flake's own."""
    parser.add_argument(
        "--layout",
        metavar="DIR",
        type=Path,
        default=Path("result"),
        help="another layout than that of this flake",
    )
    parser.add_argument(
        "--label-revision",
        action="store_true",
        help="label the images with their commit and its time; each commit then gives other digests",
    )


def run(name: str, main: Callable[[], None]) -> None:
    """Run a command; what it cannot do is one line, and a status that is not 0."""
    try:
        main()
    except ImageError as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
