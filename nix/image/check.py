"""Check an OCI image layout without a container runtime.

Usage: python check.py LAYOUT BUDGETS, the second a JSON file: role -> `bytes` (compressed, at most),
`reason`, and maybe `without`, names of Python packages that the image holds none of. Prints one line per image; ends with status 1 and one sentence per mistake.

What is required is in the OCI image specification 1.1: image-layout.md, image-index.md, manifest.md,
descriptor.md, config.md, annotations.md and layer.md.
"""

import hashlib
import json
import posixpath
import re
import sys
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

type Json = dict[str, Any]

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"
LABELS = {f"org.opencontainers.image.{name}" for name in ("version", "title", "description")}
#: What names the commit, which index.json does and an image does not.
COMMIT = {f"org.opencontainers.image.{name}" for name in ("revision", "created")}
#: Overlay file systems take 128 layers; some are left to whoever builds on ours.
MOST_LAYERS = 100
PIECE = 1 << 20
#: Packed bytes read at one time: they may unpack to a thousand times as many.
PACKED = 1 << 14

#: What no image holds: installers of packages, compilers and what they read, tests, and bytecode of
#: another optimization level.
UNWANTED = re.compile(
    r"/site-packages/(pip|setuptools|ensurepip)/"
    r"|/bin/(gcc|cc|g\+\+|clang|ld|as|make|pip[0-9.]*|patchelf)$"
    r"|/bin/(idle|python3?-config)"
    r"|/lib/python3[^/]*/(config-[^/]+|ensurepip|idlelib|test|tkinter|turtledemo)/"
    r"|\.opt-[12]\.pyc$"
    r"|/site-packages/.+/tests/"
)

#: Where the name of an installed Python package stands.
INSTALLED = re.compile(r"/site-packages/([^/]+)-[^/-]+\.dist-info$")


@dataclass
class Layer:
    """What was found in one layer's blob.

    Attributes:
        diff_id: Digest of the tar.
        size: Bytes of the blob.
        entries: Path without a leading slash -> tar header.
        mistakes: Sentences about the layer itself.
    """

    diff_id: str
    size: int
    entries: dict[str, tarfile.TarInfo]
    mistakes: list[str] = field(default_factory=list)


class Plain:
    """The tar in a gzipped blob as a file that can only be read on; keeps its digest."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.unpacker = zlib.decompressobj(wbits=31)
        self.digest = hashlib.sha256()
        self.rest = bytearray()

    def read(self, size: int) -> bytes:
        """Return that many bytes, fewer at the end."""
        while len(self.rest) < size and (packed := self.file.read(PACKED)):
            piece = self.unpacker.decompress(packed)
            self.digest.update(piece)
            self.rest += piece
        found = bytes(self.rest[:size])
        del self.rest[:size]
        return found


def sha256(path: Path) -> str:
    """Return a file's digest as the specification writes it."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def read_layer(blob: Path) -> Layer:
    """Read a layer's blob once, a piece at a time."""
    entries: dict[str, tarfile.TarInfo] = {}
    mistakes = []
    with blob.open("rb") as file:
        plain = Plain(file)
        with tarfile.open(fileobj=plain, mode="r|", bufsize=PIECE) as tar:  # type: ignore[call-overload]
            for info in tar:
                if info.name in entries:
                    mistakes.append(f"{info.name} is twice in one layer")
                entries[info.name] = info
        while plain.read(PIECE):
            pass
    return Layer(f"sha256:{plain.digest.hexdigest()}", blob.stat().st_size, entries, mistakes)


class Check:
    """The check of one layout; `mistakes` collects sentences."""

    def __init__(self, layout: Path, budgets: Json) -> None:
        self.layout = layout
        self.budgets = budgets
        self.mistakes: list[str] = []
        self.layers: dict[str, Layer] = {}

    def require(self, condition: object, sentence: str) -> None:
        """Note a mistake unless a condition holds."""
        if not condition:
            self.mistakes.append(sentence)

    def blob(self, descriptor: Json, media_type: str) -> Path:
        """Return the file of a descriptor, its type, size and digest compared."""
        digest: str = descriptor["digest"]
        path = self.layout / "blobs" / digest.replace(":", "/")
        self.require(descriptor["mediaType"] == media_type, f"{digest} is not a {media_type}")
        self.require(path.stat().st_size == descriptor["size"], f"{digest} has another size")
        self.require(sha256(path) == digest, f"{digest} has another digest")
        return path

    def document(self, descriptor: Json, media_type: str) -> Json:
        """Return a JSON blob."""
        found: Json = json.loads(self.blob(descriptor, media_type).read_text())
        return found

    def layer(self, descriptor: Json) -> Layer:
        """Return a layer's content, read once however many images have it."""
        digest = descriptor["digest"]
        if digest not in self.layers:
            self.layers[digest] = read_layer(self.blob(descriptor, LAYER))
            self.mistakes += self.layers[digest].mistakes
        return self.layers[digest]

    def run(self) -> Iterator[str]:
        """Check everything; yields a line about each image."""
        version = json.loads((self.layout / "oci-layout").read_text())
        self.require(version == {"imageLayoutVersion": "1.0.0"}, "oci-layout has another version")
        index = json.loads((self.layout / "index.json").read_text())
        self.require(index["schemaVersion"] == 2, "the index is not of schema version 2")
        self.require(index["mediaType"] == INDEX, "the index has another media type")
        names = [entry["annotations"][REF_NAME] for entry in index["manifests"]]
        self.require(
            sorted(names) == sorted(self.budgets), f"the images are {', '.join(sorted(names))}"
        )
        for entry in index["manifests"]:
            yield self.image(entry["annotations"][REF_NAME], entry)

    def image(self, role: str, entry: Json) -> str:
        """Check one image."""
        manifest = self.document(entry, MANIFEST)
        config = self.document(manifest["config"], CONFIG)
        layers = [self.layer(descriptor) for descriptor in manifest["layers"]]
        self.require(manifest["schemaVersion"] == 2, f"{role}: not of schema version 2")
        self.require(manifest["mediaType"] == MANIFEST, f"{role}: another media type")
        self.require(len(layers) <= MOST_LAYERS, f"{role} has {len(layers)} layers")
        self.configuration(role, config, entry, layers)
        self.content(role, config, layers)
        size = sum(layer.size for layer in layers)
        budget = self.budgets[role]
        self.require(
            size <= budget["bytes"],
            f"{role} has {size} bytes compressed, its budget is {budget['bytes']}: {budget['reason']}",
        )
        return f"{role}: {len(layers)} layers, {size / 1e6:.1f} of {budget['bytes'] / 1e6:.1f} MB"

    def configuration(self, role: str, config: Json, entry: Json, layers: list[Layer]) -> None:
        """Check what config.md requires and what we promise."""
        platform = {key: config[key] for key in ("architecture", "os")}
        self.require(platform == entry["platform"], f"{role}: the platform is not the index's")
        self.require(config["rootfs"]["type"] == "layers", f"{role}: rootfs is not of type layers")
        self.require(
            config["rootfs"]["diff_ids"] == [layer.diff_id for layer in layers],
            f"{role}: diff_ids are not those of the layers",
        )
        reasons = [step.get("created_by") for step in config["history"]]
        self.require(len(reasons) == len(layers) and all(reasons), f"{role}: a layer has no reason")
        run = config["config"]
        self.require(run["User"] == "65532:65532", f"{role} runs as user {run['User']!r}")
        self.require(run["StopSignal"] == "SIGTERM", f"{role} is not stopped by SIGTERM")
        self.require(set(run["Labels"]) >= LABELS, f"{role} lacks labels")
        self.require(not COMMIT & set(run["Labels"]), f"{role} has the commit in its digest")
        self.require(set(entry["annotations"]) >= COMMIT, f"{role}: the index names no commit")
        dates = {config["created"], *(step["created"] for step in config["history"])}
        self.require(dates == {"1970-01-01T00:00:01Z"}, f"{role}: created {', '.join(dates)}")

    def content(self, role: str, config: Json, layers: list[Layer]) -> None:
        """Check the files of all layers together."""
        entries: dict[str, tarfile.TarInfo] = {}
        for layer in layers:
            for name, info in layer.entries.items():
                same = name in entries and info.isdir() and entries[name].isdir()
                if name in entries and not same:
                    self.mistakes.append(f"{role}: /{name} is in two layers")
                entries[name] = info
        for name, info in entries.items():
            self.require(not UNWANTED.search(f"/{name}"), f"{role} holds /{name}")
            self.require(info.uid in (0, 65532), f"{role}: /{name} belongs to user {info.uid}")
            if info.issym():
                self.require(resolve(entries, name), f"{role}: /{name} leads nowhere")
        packages = {
            re.sub("[-_.]+", "-", m[1]).lower() for m in map(INSTALLED.search, entries) if m
        }
        unwanted = sorted(packages.intersection(self.budgets[role].get("without", [])))
        self.require(not unwanted, f"{role} holds the packages {', '.join(unwanted)}")
        self.store_paths(role, layers)
        self.command(role, config["config"], entries)

    def store_paths(self, role: str, layers: list[Layer]) -> None:
        """Check that no store path is in two layers of one image."""
        seen: set[str] = set()
        for layer in layers:
            paths = {name for name in layer.entries if re.fullmatch("nix/store/[^/]+", name)}
            self.mistakes += [f"{role}: /{path} is in two layers" for path in sorted(paths & seen)]
            seen |= paths

    def command(self, role: str, run: Json, entries: dict[str, tarfile.TarInfo]) -> None:
        """Check that process 1, the command, the user, /tmp and the folders named are in the image."""
        self.require(
            run.get("Entrypoint") == ["/bin/tini", "--"] and resolve(entries, "bin/tini"),
            f"{role}: process 1 is not tini",
        )
        environment = dict(pair.split("=", 1) for pair in run["Env"])
        found = [
            resolve(entries, f"{folder}/{run['Cmd'][0]}".strip("/"))
            for folder in environment["PATH"].split(":")
        ]
        self.require(any(found), f"{role}: {run['Cmd'][0]} is not on PATH")
        for name in ("etc/passwd", "etc/group", environment["SSL_CERT_FILE"], run["WorkingDir"]):
            self.require(resolve(entries, name.strip("/")), f"{role} has no /{name.strip('/')}")
        temporary = entries.get("tmp")
        self.require(temporary and temporary.mode == 0o1777, f"{role}: /tmp is not of mode 1777")
        for volume in run["Volumes"]:
            folder = entries.get(volume.strip("/"))
            self.require(folder and folder.uid == 65532, f"{role}: {volume} is not the user's")
            self.require(
                folder and folder.gid == 0 and folder.mode & 0o070 == 0o070,
                f"{role}: {volume} is not writable for group 0",
            )
        probe = resolve(entries, f"bin/{run['Healthcheck']['Test'][1]}")
        self.require(probe, f"{role}: the probe is not in the image")


def resolve(entries: dict[str, tarfile.TarInfo], name: str, links: int = 40) -> str | None:
    """Follow symbolic links in an image.

    Args:
        entries: The image's entries by path, without a leading slash.
        name: The path to follow, likewise.
        links: How many links may be followed, as many as Linux allows.

    Returns:
        The path of what is not a link; None when it does not exist.
    """
    done = ""
    parts = name.split("/")
    for position, part in enumerate(parts):
        here = posixpath.join(done, part)
        info = entries.get(here)
        if info is None or links == 0:
            return None
        if info.issym():
            target = posixpath.join("/", done, info.linkname, *parts[position + 1 :])
            return resolve(entries, posixpath.normpath(target).lstrip("/"), links - 1)
        done = here
    return done


def main(layout: Path, budgets: Path) -> None:
    """Check a layout and print what was found."""
    check = Check(layout, json.loads(budgets.read_text()))
    for line in check.run():
        print(line)
    for mistake in check.mistakes[:20]:
        print(f"image: {mistake}", file=sys.stderr)
    sys.exit(1 if check.mistakes else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
