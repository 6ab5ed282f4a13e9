"""Say what images were built from, as SLSA does: commit, locks, store paths and command.

An in-toto statement (v1) about each image, with the predicate of SLSA's provenance v1. It follows from the
input, as the images do: without times, and without a word about the machine.
"""

from collections.abc import Iterable
from typing import Any

type Json = dict[str, Any]

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
#: What the parameters mean: those of `nix build`, on a flake.
BUILD_TYPE = "https://nix.dev/manual/nix/latest/command-ref/new-cli/nix3-build"
#: Who built it is not known here; that it was Nix is. A signature says who stands for it.
BUILDER = "https://nix.dev/manual/nix/latest"


def hexadecimal(digest: str) -> dict[str, str]:
    """Return sha256:x as in-toto writes it."""
    return {"sha256": digest.removeprefix("sha256:")}


def dependencies(build: Json, layers: Iterable[Json]) -> list[Json]:
    """Return what a build resolved: the commit, the locks, and the store paths of each layer.

    Args:
        build: `revision`, `source` (an address or null) and `locks`, path in the checkout -> sha256.
        layers: The layer.json of each, as layer.py writes it.
    """
    revision: str = build["revision"]
    commit: Json = {"name": "checkout"}
    if build["source"]:
        commit["uri"] = f"git+{build['source']}"
    # A tree with edits: the commit below them, a word, and some digits of its content's hash.
    number = revision.split("-")[0]
    if number != "unknown":
        commit["digest"] = {"gitCommit": number}
    if number != revision:
        commit["annotations"] = {"edited": revision}
    locks = [
        {"name": name, "digest": {"sha256": sha256}}
        for name, sha256 in sorted(build["locks"].items())
    ]
    made = [
        {
            "name": layer["reason"],
            "digest": hexadecimal(layer["digest"]),
            "annotations": {"storePaths": [*layer["paths"], *sorted(set(layer["files"].values()))]},
        }
        for layer in layers
    ]
    return [commit, *locks, *made]


def statement(role: str, digest: str, build: Json, layers: Iterable[Json]) -> Json:
    """Return the statement about one image.

    Args:
        role: Its name.
        digest: That of its manifest.
        build: As in `dependencies`, with the `command`, the `attribute` of the flake that it builds, and
            the `set` of packages.
        layers: As in `dependencies`.
    """
    parameters = {
        "command": build["command"],
        "attribute": build["attribute"],
        "packages": build["set"],
    }
    return {
        "_type": STATEMENT,
        "subject": [{"name": role, "digest": hexadecimal(digest)}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "resolvedDependencies": dependencies(build, layers),
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }
