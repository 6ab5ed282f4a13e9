"""Check the lists of components that sbom.py wrote against CycloneDX's schema and the images themselves.

Usage: python check_sbom.py LISTS LAYOUT. Prints one line per image; ends with status 1 and one sentence per
mistake. That the Python packages are those of the image is read from its layers, not from what
the lists were made of.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from check import REF_NAME, read_layer

type Json = dict[str, Any]

#: The folder that says which version of a Python package is installed.
INSTALLED = re.compile(r".*/site-packages/([^/-]+)-([^/-]+)\.dist-info")


def blob(layout: Path, digest: str) -> Path:
    """Return the file of a digest."""
    return layout / "blobs" / digest.replace(":", "/")


def installed(layer: Path) -> set[str]:
    """Return the Python packages of a layer as NAME==VERSION."""
    found = filter(None, map(INSTALLED.fullmatch, read_layer(layer).entries))
    return {f"{canonicalize_name(match[1])}=={match[2]}" for match in found}


class Check:
    """The check of the lists of one layout."""

    def __init__(self, lists: Path, layout: Path) -> None:
        self.lists = lists
        self.layout = layout
        self.packages: dict[str, set[str]] = {}
        self.provenance: Json = json.loads((lists / "layers.json").read_text())
        self.validator = JsonStrictValidator(SchemaVersion.V1_6)

    def layer(self, digest: str) -> set[str]:
        """Return the Python packages of a layer, read once."""
        if digest not in self.packages:
            self.packages[digest] = installed(blob(self.layout, digest))
        return self.packages[digest]

    def image(self, entry: Json) -> Iterator[str]:
        """Yield the mistakes in one image's list."""
        role = entry["annotations"][REF_NAME]
        text = (self.lists / f"{role}.cdx.json").read_text()
        if error := self.validator.validate_str(text):
            yield f"{role}: not CycloneDX 1.6: {error}"
            return
        bom = json.loads(text)
        if entry["digest"] not in bom["metadata"]["component"]["purl"].replace("%3A", ":"):
            yield f"{role}: the list is one of another image"
        layers = json.loads(blob(self.layout, entry["digest"]).read_text())["layers"]
        digests = {layer["digest"] for layer in layers}
        listed = {
            f"{component['name']}=={component['version']}"
            for component in bom["components"]
            if component.get("purl", "").startswith("pkg:pypi/")
        }
        held = set().union(*map(self.layer, digests))
        yield from (f"{role}: {name} is listed and not there" for name in sorted(listed - held))
        yield from (f"{role}: {name} is there and not listed" for name in sorted(held - listed))
        named = {
            item["value"]
            for component in bom["components"]
            for item in component["properties"]
            if item["name"] == "oci:layer"
        }
        yield from (f"{role}: has no layer {digest}" for digest in sorted(named - digests))
        unknown = sorted(digests - set(self.provenance))
        yield from (f"{role}: layers.json has no {digest}" for digest in unknown)
        print(f"{role}: {len(bom['components'])} components in {len(digests)} layers")


def main(lists: Path, layout: Path) -> None:
    """Check all lists."""
    check = Check(lists, layout)
    index = json.loads((layout / "index.json").read_text())
    mistakes = [mistake for entry in index["manifests"] for mistake in check.image(entry)]
    for mistake in mistakes[:20]:
        print(f"sbom: {mistake}", file=sys.stderr)
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
