"""Check the lists of components that sbom.py wrote against CycloneDX's schema and the images themselves.

Usage: python check_sbom.py LISTS LAYOUT VEX. VEX says of known findings why they do not concern the
images (OpenVEX 0.2); it may name no package that is not listed, nor call code absent that is there.
Prints one line per image; ends with status 1 and one sentence per mistake. That the packages and
libraries are those of the image is read from its layers, not from what the lists were made of.
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
#: What the images must not hold, for statements that the code with a flaw is not there.
FLAWED = {
    "CVE-2013-4392": re.compile(r".*/systemd-[^/]+"),
    "CVE-2022-0563": re.compile(r".*/bin/(chfn|chsh)"),
}


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
        flaws: Names of flaws whose code is there, of `FLAWED`.
    """

    python: set[str] = field(default_factory=set)
    libraries: set[str] = field(default_factory=set)
    debian: set[str] = field(default_factory=set)
    copyrights: set[str] = field(default_factory=set)
    release: bool = False
    flaws: set[str] = field(default_factory=set)

    def __or__(self, other: "Held") -> "Held":
        """Return what is in both together."""
        return Held(
            self.python | other.python,
            self.libraries | other.libraries,
            self.debian | other.debian,
            self.copyrights | other.copyrights,
            self.release or other.release,
            self.flaws | other.flaws,
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
        {name for name, code in FLAWED.items() if any(map(code.fullmatch, entries))},
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


def about(statement: Json, role: str) -> list[str]:
    """Return the packages of an image that a statement is about, as package URLs without version."""
    return [
        part["@id"]
        for product in statement["products"]
        if product["@id"] == f"pkg:oci/{role}"
        for part in product["subcomponents"]
    ]


def unfounded(vex: Json, role: str, components: list[Json], there: Held) -> Iterator[str]:
    """Yield the statements about an image that do not hold."""
    listed = {component.get("purl", "").split("@")[0] for component in components}
    for statement in vex["statements"]:
        name = statement["vulnerability"]["name"]
        for package in about(statement, role):
            if package not in listed:
                yield f"{name} is said of {package}, which is not listed"
        absent = statement["justification"] == "vulnerable_code_not_present"
        if absent and name not in FLAWED:
            yield f"{name} is said to be of code that is not there: name its files in check_sbom.py"
        if absent and name in there.flaws:
            yield f"{name} is said to be of code that is not there, and it is"


class Check:
    """The check of the lists of one layout."""

    def __init__(self, lists: Path, layout: Path, vex: Path) -> None:
        self.lists = lists
        self.vex: Json = json.loads(vex.read_text())
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
        there = Held()
        for digest in digests:
            there |= self.layer(digest)
        yield from (f"{role}: {mistake}" for mistake in self.content(components, digests, there))
        stated = unfounded(self.vex, role, components, there)
        yield from (f"{role}: {mistake}" for mistake in stated)
        unknown_layers = sorted(digests - set(self.provenance))
        yield from (f"{role}: layers.json has no {digest}" for digest in unknown_layers)
        print(f"{role}: {len(components)} components in {len(digests)} layers")

    def content(self, components: list[Json], digests: set[str], there: Held) -> Iterator[str]:
        """Yield where a list and the layers of its image differ."""
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


def main(lists: Path, layout: Path, vex: Path) -> None:
    """Check all lists."""
    check = Check(lists, layout, vex)
    index = json.loads((layout / "index.json").read_text())
    mistakes = [mistake for entry in index["manifests"] for mistake in check.image(entry)]
    for mistake in mistakes[:20]:
        print(f"sbom: {mistake}", file=sys.stderr)
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
