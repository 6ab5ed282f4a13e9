"""Attach to images in a registry what is known of them; see artifacts.py."""

import argparse
import json
import tempfile
from pathlib import Path

import bundle
from artifacts import BUNDLE, Artifacts, evidence, tag
from layout import Json
from registry import Registry
from signing import PrivateKey
from stored import Stored


def add_sbom(parser: argparse.ArgumentParser) -> None:
    """Add the option --sbom, which the commands of out.nix set to the flake's own."""
    parser.add_argument(
        "--sbom",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="what `nix build .#image-sbom` made for another layout; may be given more than once",
    )


class Repository:
    """One repository in a registry, and what is made for it in a scratch layout."""

    def __init__(self, registry: Registry, name: str, scratch: Artifacts) -> None:
        self.registry = registry
        self.name = name
        self.scratch = scratch

    def put(self, descriptor: Json, where: str) -> None:
        """Send what was made, as `:TAG` or `@DIGEST`."""
        name = descriptor["digest"].removeprefix("sha256:")
        self.registry.put(self.scratch.out, name, f"{self.name}{where}")

    def sign(self, subject: Json, key: PrivateKey) -> list[Json]:
        """Sign a manifest in both forms of cosign's; return the entries for its referrers."""
        return [self.document(subject, key), self.bundle(subject, key)]

    def bundle(self, subject: Json, key: PrivateKey) -> Json:
        """Sign a manifest as cosign 3 does."""
        content = bundle.make(key, subject["digest"])
        entry = self.scratch.artifact(subject, BUNDLE, f"signature.{BUNDLE.file}", content)
        self.put(entry, f"@{entry['digest']}")
        return entry

    def document(self, subject: Json, key: PrivateKey) -> Json:
        """Sign a manifest as cosign 1 and 2 do, beside the signatures of others."""
        where = f":{tag(subject['digest'], '.sig')}"
        there = self.registry.manifest(f"{self.name}{where}")
        others = []
        if there:
            self.registry.get(f"{self.name}{where}", self.scratch.out)
            others = json.loads(there)["layers"]
        entry = self.scratch.signature(subject, self.name, key, others)
        self.put(entry, where)
        return entry

    def refer(self, subject: Json, entries: list[Json]) -> None:
        """Note what refers to a manifest where registries without the referrers API have it."""
        where = f":{tag(subject['digest'])}"
        there = self.registry.manifest(f"{self.name}{where}")
        self.put(self.scratch.referrers(there, entries), where)


def attach(
    registry: Registry,
    name: str,
    layout: Stored,
    role: str,
    folders: list[Path],
    key: PrivateKey | None,
) -> None:
    """Attach list of components, provenance and, with a key, signatures to a role that was pushed.

    Args:
        registry: Where it is.
        name: Its repository there.
        layout: What it was pushed from.
        role: Its name in the layout.
        folders: What `nix build .#image-sbom` made.
        key: What to sign with: the image, each architecture's manifest, and what is attached.

    Raises:
        ImageError: The registry did not take it.
    """
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(registry, name, Artifacts(Path(folder) / "layout"))
        top = layout.entries[role]
        for manifest in layout.manifests(role):
            known = evidence(folders, role, manifest["digest"])
            entries = [repository.scratch.artifact(manifest, *item) for item in known]
            for entry in entries:
                repository.put(entry, f"@{entry['digest']}")
                if key:
                    repository.refer(entry, repository.sign(entry, key))
            names = [kind.name for kind, _, _ in known]
            if key:
                entries += repository.sign(manifest, key)
                names.append("signature")
            if entries:
                repository.refer(manifest, entries)
            about = manifest["digest"] if top["digest"] != manifest["digest"] else "it"
            print(f"  attached to {about}: {', '.join(names) or 'nothing, no --sbom is about it'}")
        if key and top not in layout.manifests(role):
            repository.refer(top, repository.sign(top, key))
