"""Check the lists of components that sbom.py wrote against CycloneDX's schema and the images themselves.

Usage: python check_sbom.py LISTS LAYOUT. Prints one line per image; ends with status 1 and one sentence per
mistake. That the packages and libraries are those of the image is read from its layers, not from
what the lists were made of.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from check import REF_NAME, read_layer
from licenses import unknown

type Json = dict[str, Any]

#: The folder that says which version of a Python package is installed.
INSTALLED = re.compile(r".*/site-packages/([^/-]+)-([^/-]+)\.dist-info")
#: The libraries that a wheel brings along.
LIBRARY = re.compile(r".*/site-packages/(?:[^/]+\.libs|[^/]+/\.libs)/([^/]+\.so[^/]*)")
#: dpkg's record of a package, and its copyright file.
RECORD = re.compile(r"var/lib/dpkg/status\.d/(.+)")
COPYRIGHT = re.compile(r"usr/share/doc/([^/]+)/copyright")
RELEASE = "etc/os-release"


def blob(layout: Path, digest: str) -> Path:
    """Return the file of a digest."""
    return layout / "blobs" / digest.replace(":", "/")


@dataclass
class Held:
    """What is in a layer, or in an image.

    Attributes:
        python: Python packages as NAME==VERSION.
        libraries: File names of the libraries in wheels.
        debian: Debian packages that dpkg has a record of.
        copyrights: Debian packages that have a copyright file.
        release: Whether it says which distribution it is.
    """

    python: set[str] = field(default_factory=set)
    libraries: set[str] = field(default_factory=set)
    debian: set[str] = field(default_factory=set)
    copyrights: set[str] = field(default_factory=set)
    release: bool = False

    def __or__(self, other: "Held") -> "Held":
        """Return what is in both together."""
        return Held(
            self.python | other.python,
            self.libraries | other.libraries,
            self.debian | other.debian,
            self.copyrights | other.copyrights,
            self.release or other.release,
        )


def held(layer: Path) -> Held:
    """Return what is in a layer, read from the names of its files."""
    entries = read_layer(layer).entries

    def named(pattern: re.Pattern[str]) -> set[str]:
        return {match[1] for match in map(pattern.fullmatch, entries) if match}

    found = filter(None, map(INSTALLED.fullmatch, entries))
    return Held(
        {f"{canonicalize_name(match[1])}=={match[2]}" for match in found},
        named(LIBRARY),
        named(RECORD),
        named(COPYRIGHT),
        RELEASE in entries,
    )


def every(components: list[Json]) -> Iterator[Json]:
    """Yield components and those inside of them."""
    for component in components:
        yield component
        yield from every(component.get("components", []))


def kind(component: Json) -> str:
    """Return the type of a component's package URL, empty without one."""
    return PackageURL.from_string(component["purl"]).type if "purl" in component else ""


def differ(what: str, listed: set[str], there: set[str]) -> Iterator[str]:
    """Yield a sentence for each that is only listed or only there."""
    yield from (f"{what}{name} is listed and not there" for name in sorted(listed - there))
    yield from (f"{what}{name} is there and not listed" for name in sorted(there - listed))


def of_debian(components: list[Json], there: Held) -> Iterator[str]:
    """Yield the mistakes in what a list says of Debian packages; one in any scanner passes them over."""
    packages = [component for component in components if kind(component) == "deb"]
    yield from differ("Debian's ", {item["name"] for item in packages}, there.debian)
    for name in sorted(there.debian - there.copyrights):
        yield f"Debian's {name} has no copyright file"
    if packages and not there.release:
        yield f"has Debian packages and no /{RELEASE}"
    if packages and not any(item["type"] == "operating-system" for item in components):
        yield "lists Debian packages and no operating system"
    for item in packages:
        if "distro" not in (PackageURL.from_string(item["purl"]).qualifiers or {}):
            yield f"Debian's {item['name']} is of no release"


def without_licence(components: list[Json]) -> Iterator[str]:
    """Yield a sentence for each package whose licence SPDX does not know."""
    for component in components:
        if kind(component) not in ("pypi", "deb") or "#" in component["bom-ref"]:
            continue
        given = component.get("licenses", [])
        names = [item.get("expression") or item["license"].get("id", "?") for item in given]
        if not names or any(unknown(name) for name in names):
            yield f"{component['name']} has no licence as SPDX has it: name it in licenses.py"


class Check:
    """The check of the lists of one layout."""

    def __init__(self, lists: Path, layout: Path) -> None:
        self.lists = lists
        self.layout = layout
        self.layers: dict[str, Held] = {}
        self.provenance: Json = json.loads((lists / "layers.json").read_text())
        self.validator = JsonStrictValidator(SchemaVersion.V1_6)

    def layer(self, digest: str) -> Held:
        """Return what is in a layer, read once."""
        if digest not in self.layers:
            self.layers[digest] = held(blob(self.layout, digest))
        return self.layers[digest]

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
        components = list(every(bom["components"]))
        yield from (f"{role}: {mistake}" for mistake in self.content(components, digests))
        unknown_layers = sorted(digests - set(self.provenance))
        yield from (f"{role}: layers.json has no {digest}" for digest in unknown_layers)
        print(f"{role}: {len(components)} components in {len(digests)} layers")

    def content(self, components: list[Json], digests: set[str]) -> Iterator[str]:
        """Yield where a list and the layers of its image differ."""
        there = Held()
        for digest in digests:
            there |= self.layer(digest)
        python = {
            f"{component['name']}=={component['version']}"
            for component in components
            if kind(component) == "pypi" and "#" not in component["bom-ref"]
        }
        files = {component["name"] for component in components if component["type"] == "file"}
        yield from differ("", python, there.python)
        yield from differ("the library ", files, there.libraries)
        yield from of_debian(components, there)
        yield from without_licence(components)
        named = {
            item["value"]
            for component in components
            for item in component.get("properties", [])
            if item["name"] == "oci:layer"
        }
        yield from (f"has no layer {digest}" for digest in sorted(named - digests))


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
