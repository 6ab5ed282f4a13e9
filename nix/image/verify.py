"""Compare images in a registry with this checkout.

`nix run .#image-verify -- REGISTRY/PREFIX[:TAG] [ROLE...]`

An image is of this checkout when its digest is that of the image built here: same commit, same
digests, on every machine. Then what is attached to it is compared, and with `--key` each signature.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import bundle
import signing
from artifacts import Artifacts, evidence, tag
from attach import add_sbom
from labelled import chosen
from layout import Json
from push import Destination, add_destination, check_options, destination
from registry import Registry
from stored import ImageError, Stored, add_layout, run


def sha256(content: bytes) -> str:
    """Return a digest as the specification writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Verification:
    """The comparison of one role; `mistakes` collects sentences."""

    def __init__(
        self, registry: Registry, repository: str, key: signing.PublicKey | None, scratch: Path
    ) -> None:
        self.registry = registry
        self.repository = repository
        self.key = key
        self.scratch = scratch
        self.artifacts = Artifacts(scratch / "expected")
        self.mistakes: list[str] = []

    def image(self, layout: Stored, role: str, where: str, folders: list[Path]) -> Iterator[str]:
        """Compare an image with that of a layout; yield a word for each thing that is as it should be."""
        there = self.registry.manifest(where)
        ours = layout.entries[role]["digest"]
        if there is None:
            self.mistakes.append(f"{where} is not there")
            return
        if sha256(there) != ours:
            self.mistakes.append(
                f"{where} is {sha256(there)}, and this checkout makes {ours}: "
                "it is of another commit, or changed"
            )
            return
        yield f"{where} is {ours}, as built from this checkout"
        for manifest in layout.manifests(role):
            known = evidence(folders, role, manifest["digest"])
            if not known:
                self.mistakes.append(f"{role}: no --sbom is about {manifest['digest']}")
            entries = [self.artifacts.artifact(manifest, *item) for item in known]
            yield from self.attached(manifest, entries)
            for name, entry in zip((kind.name for kind, _, _ in known), entries, strict=True):
                yield from self.signed(entry, name)
            yield from self.signed(manifest, "manifest")
        if layout.entries[role] not in layout.manifests(role):
            yield from self.signed(layout.entries[role], "index")

    def attached(self, manifest: Json, entries: list[Json]) -> Iterator[str]:
        """Compare what refers to a manifest with what should."""
        index = self.registry.manifest(f"{self.repository}:{tag(manifest['digest'])}")
        listed = {item["digest"] for item in json.loads(index)["manifests"]} if index else set()
        for entry in entries:
            what = f"{entry['artifactType']} of {manifest['digest']}"
            if entry["digest"] not in listed:
                self.mistakes.append(f"{what} is not attached, or another one: push it again")
                continue
            try:
                self.registry.get(f"{self.repository}@{entry['digest']}", self.scratch / "there")
            except ImageError as error:
                self.mistakes.append(f"{what} is listed and cannot be read: {error}")
            else:
                yield f"  {what} is attached, as made from this checkout"

    def signed(self, subject: Json, what: str) -> Iterator[str]:
        """Verify that a manifest has a signature by the key."""
        if self.key is None:
            return
        digest = subject["digest"]
        problem = "has no signature"
        for right in chain(self.documents(digest), self.bundles(digest)):
            if right:
                yield f"  {what} {digest} is signed"
                return
            problem = "is not signed with this key"
        self.mistakes.append(f"{what} {digest} {problem}")

    def documents(self, digest: str) -> Iterator[bool]:
        """Yield whether each signature in the form of cosign 1 and 2 is of the key."""
        assert self.key
        where = f"{self.repository}:{tag(digest, '.sig')}"
        for layer, document in self.layers(where):
            signature = layer.get("annotations", {}).get(signing.SIGNATURE, "")
            yield signing.verified(self.key, document, signature, digest)

    def bundles(self, digest: str) -> Iterator[bool]:
        """Yield whether each signature in the form of cosign 3 is of the key."""
        assert self.key
        index = self.registry.manifest(f"{self.repository}:{tag(digest)}")
        for entry in json.loads(index)["manifests"] if index else []:
            if entry.get("artifactType", "").startswith(bundle.TYPES):
                for _, content in self.layers(f"{self.repository}@{entry['digest']}"):
                    yield bundle.verified(self.key, content, digest)

    def layers(self, where: str) -> Iterator[tuple[Json, bytes]]:
        """Yield the layers of what is in the registry, if it is, and what they hold."""
        manifest = self.registry.manifest(where)
        if manifest is None:
            return
        self.registry.get(where, self.scratch / "there")
        for layer in json.loads(manifest)["layers"]:
            blob = self.scratch / "there/blobs" / layer["digest"].replace(":", "/")
            yield layer, blob.read_bytes()


def verify(
    where: Destination,
    options: list[str],
    layout: Stored,
    role: str,
    folders: list[Path],
    key: signing.PublicKey | None,
) -> list[str]:
    """Compare one role, print what is as it should be, and return a sentence for each mistake."""
    with tempfile.TemporaryDirectory() as scratch:
        registry = Registry(where.registry, options)
        check = Verification(registry, where.repository(role), key, Path(scratch))
        name = where.name(role, layout.version(role))
        for line in check.image(layout, role, name, folders):
            print(line, flush=True)
        return check.mistakes


def main() -> None:
    """Parse the arguments and compare."""
    parser = argparse.ArgumentParser(
        prog="image-verify",
        description="Compare images in a registry, and what is attached to them, with this checkout.",
        epilog="Other options are --tls-verify=false, --cert-dir=DIR and --authfile=FILE.",
        allow_abbrev=False,
    )
    add_layout(parser)
    add_sbom(parser)
    add_destination(parser)
    parser.add_argument(
        "--key", metavar="FILE", type=Path, help="the public key (PEM) that signatures must be of"
    )
    arguments, options = parser.parse_known_args()
    check_options(options)
    where = destination(arguments.destination)
    key = signing.public_key(arguments.key) if arguments.key else None
    mistakes: list[str] = []
    with chosen(arguments) as layout:
        for role in layout.choose(arguments.roles):
            mistakes += verify(where, options, layout, role, arguments.sbom, key)
    for mistake in mistakes:
        print(f"image-verify: {mistake}", file=sys.stderr)
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    run("image-verify", main)
