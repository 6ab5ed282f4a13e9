"""What is attached to an image: its list of components, its provenance, and signatures, as OCI artifacts.

An artifact is a manifest whose `subject` is the image's (image specification 1.1, manifest.md). A
registry without the referrers API finds it by an index under a tag made of the image's digest
(distribution specification 1.1, "Referrers Tag Schema"). Signatures have cosign's tag too.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import bundle
import signing
from layout import CONFIG, INDEX, MANIFEST, PREFIX, Json, Layout
from provenance import PREDICATE
from stored import REF_NAME

EMPTY = "application/vnd.oci.empty.v1+json"


class Kind(NamedTuple):
    """One kind of artifact: its `type`, the end of its file's name, and the manifest's annotations."""

    name: str
    type: str
    file: str
    annotations: dict[str, str]


SBOM = Kind("list of components", "application/vnd.cyclonedx+json", "cdx.json", {})
PROVENANCE = Kind(
    "provenance",
    "application/vnd.in-toto+json",
    "provenance.json",
    {"in-toto.io/predicate-type": PREDICATE},
)
BUNDLE = Kind("signature", bundle.TYPE, "sigstore.json", bundle.ANNOTATIONS)


def evidence(folders: Iterable[Path], role: str, digest: str) -> list[tuple[Kind, str, bytes]]:
    """Return kind, file name and content of what folders have about an image.

    Args:
        folders: What `nix build .#image-sbom` made, one per architecture.
        role: Its name.
        digest: That of its manifest; what is about another is left out.
    """
    for folder in folders:
        statement = folder / f"{role}.{PROVENANCE.file}"
        if not statement.exists():
            continue
        (subject,) = json.loads(statement.read_text())["subject"]
        if f"sha256:{subject['digest']['sha256']}" == digest:
            names = [(kind, f"{role}.{kind.file}") for kind in (SBOM, PROVENANCE)]
            return [(kind, name, (folder / name).read_bytes()) for kind, name in names]
    return []


def bare(descriptor: Json) -> Json:
    """Return a descriptor with what every descriptor has."""
    return {key: descriptor[key] for key in ("mediaType", "digest", "size")}


def tag(digest: str, end: str = "") -> str:
    """Return the tag that belongs to a digest."""
    return digest.replace(":", "-") + end


class Artifacts(Layout):
    """Artifacts being made in a layout of their own; each is there under its digest's digits."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.made: dict[str, Json] = {}

    def raw(self, media_type: str, content: bytes) -> Json:
        """Write a blob as it is and return its descriptor."""
        name = hashlib.sha256(content).hexdigest()
        (self.blobs / name).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(content)}

    def manifest(self, media_type: str, value: Json) -> Json:
        """Write a manifest or an index and return its descriptor."""
        descriptor = self.add(media_type, value | {"schemaVersion": 2, "mediaType": media_type})
        self.made[descriptor["digest"]] = descriptor
        named = (
            item | {"annotations": {REF_NAME: digest.removeprefix("sha256:")}}
            for digest, item in self.made.items()
        )
        self.finish(list(named))
        return descriptor

    def artifact(self, subject: Json, kind: Kind, name: str, content: bytes) -> Json:
        """Write an artifact with one file; return its entry in the index of referrers."""
        file = self.raw(kind.type, content) | {"annotations": {f"{PREFIX}.title": name}}
        value = {
            "artifactType": kind.type,
            "config": self.raw(EMPTY, b"{}"),
            "layers": [file],
            "subject": bare(subject),
        }
        noted = {"annotations": kind.annotations} if kind.annotations else {}
        return self.manifest(MANIFEST, value | noted) | {"artifactType": kind.type} | noted

    def signature(
        self, subject: Json, repository: str, key: signing.PrivateKey, others: list[Json]
    ) -> Json:
        """Write the signature of a manifest; return its entry in the index of referrers.

        Args:
            subject: The descriptor of what is signed.
            repository: Where it is.
            key: What it is signed with.
            others: The layers of a signature that is there, which are kept.
        """
        document = signing.document(repository, subject["digest"])
        signed = {"annotations": {signing.SIGNATURE: signing.sign(key, document)}}
        layer = self.raw(signing.MEDIA_TYPE, document) | signed
        layers = [*(other for other in others if other != layer), layer]
        config = {
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [item["digest"] for item in layers]},
        }
        value = {
            "artifactType": signing.ARTIFACT_TYPE,
            "config": self.add(CONFIG, config),
            "layers": layers,
            "subject": bare(subject),
        }
        return self.manifest(MANIFEST, value) | {"artifactType": signing.ARTIFACT_TYPE}

    def referrers(self, there: bytes | None, entries: list[Json]) -> Json:
        """Write the index of what refers to an image: what is there, and some more.

        A signature takes the place of that which it was made from.
        """
        digests = {entry["digest"] for entry in entries}
        signed = any(entry["artifactType"] == signing.ARTIFACT_TYPE for entry in entries)
        kept = [
            entry
            for entry in (json.loads(there)["manifests"] if there else [])
            if entry["digest"] not in digests
            and not (signed and entry.get("artifactType") == signing.ARTIFACT_TYPE)
        ]
        return self.manifest(INDEX, {"manifests": [*kept, *entries]})
