"""Write a list of components (SBOM) for each image, as CycloneDX 1.6 in JSON, and what its layers are made of.

Usage: python sbom.py OUT SPECIFICATION. SPECIFICATION is a JSON file: `layout`, the OCI layout;
`lock`, the file ../python/lock.json; `system`, the Nix system; `created`, seconds since 1970;
`project`, that table of pyproject.toml; `bottom`, the layers below the wheels; `prefixes`, store
paths with the Debian packages they are made of; and `roles`: for each its dependency `group`, its
`layers` (made by layer.py), the layers of the `application`, `wheels`, name -> store path, and
`data`: each a `file` (a store path) in a `layer`, with its `sha256`, its `license`, and the `source` (a
package URL) and `version` that it is from.

OUT gets `ROLE.cdx.json` for each role and `layers.json`: digest of a layer -> why it is there, its
store paths, and the store paths of its other files. Everything follows from the input: the serial
number is made from the manifest's digest, the time is that of the revision.
"""

import json
import sys
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

type Json = dict[str, Any]

REF_NAME = "org.opencontainers.image.ref.name"
SITE = "lib/python3.13/site-packages"
#: A `License` field longer than this is the licence's text, not its name.
LONGEST_NAME = 80


def layer_infos(layers: Iterable[str]) -> list[Json]:
    """Return the layer.json of layers."""
    return [json.loads((Path(layer) / "layer.json").read_text()) for layer in layers]


def licenses(wheel: Path) -> list[License]:
    """Return what an installed wheel's metadata says of its licence.

    `License-Expression` (PEP 639) goes first, then a short `License`, then the classifiers.
    """
    factory = LicenseFactory()
    (info,) = (wheel / SITE).glob("*.dist-info")
    metadata = Distribution.at(info).metadata
    for key in ("License-Expression", "License"):
        text = (metadata.get(key) or "").strip()
        if text and "\n" not in text and len(text) <= LONGEST_NAME:
            return [factory.make_from_string(text)]
    classifiers = metadata.get_all("Classifier") or []
    names = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License :: ")]
    return [factory.make_with_name(name) for name in names if name != "OSI Approved"]


def properties(digest: str, path: str) -> list[Property]:
    """Return where a component is: its layer and its store path, named as nixpkgs documents it."""
    return [Property(name="oci:layer", value=digest), Property(name="nix:store_path", value=path)]


def library(
    purl: PackageURL,
    sha256: str | None,
    where: list[Property],
    licence: Iterable[License] = (),
) -> Component:
    """Return a library; its reference is its package URL."""
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []
    return Component(
        type=ComponentType.LIBRARY,
        name=purl.name,
        version=purl.version,
        purl=purl,
        bom_ref=str(purl),
        hashes=hashes,
        licenses=licence,
        properties=where,
    )


def data_file(item: Json, digest: str) -> Component:
    """Return a file of data; its package URL is that of the project it is from."""
    purl = PackageURL.from_string(f"{item['source']}@{item['version']}")
    name = Path(item["file"]).name.partition("-")[2]
    return Component(
        type=ComponentType.DATA,
        name=name,
        version=item["version"],
        purl=purl,
        bom_ref=name,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=item["sha256"])],
        licenses=[LicenseFactory().make_from_string(item["license"])],
        properties=properties(digest, item["file"]),
    )


class Writer:
    """Writes the lists of one layout."""

    def __init__(self, specification: Json) -> None:
        self.specification = specification
        self.lock: Json = json.loads(Path(specification["lock"]).read_text())
        self.debian = {item["path"]: item["debian"] for item in specification["prefixes"]}
        index = json.loads((Path(specification["layout"]) / "index.json").read_text())
        self.images = {entry["annotations"][REF_NAME]: entry for entry in index["manifests"]}

    def wheel(self, name: str, path: str, digest: str) -> Component:
        """Return a Python package as a component, with the hash of its wheel."""
        package = self.lock["packages"][name]
        wheel = package["wheels"][self.specification["system"]]
        purl = PackageURL("pypi", None, name, package["version"], {"file_name": wheel["file"]})
        return library(purl, wheel["sha256"], properties(digest, path), licenses(Path(path)))

    def stored(self, path: str, digest: str) -> list[Component]:
        """Return what a store path is made of: Debian's packages, or one of nixpkgs."""
        where = properties(digest, path)
        if path in self.debian:
            pins = self.debian[path]
            return [library(debian_url(pin), pin["sha256"], where) for pin in pins]
        return [library(store_url(path), None, where)]

    def others(self, role: Json) -> Iterator[Component]:
        """Yield what is in an image besides wheels: the system, data, and the application."""
        for info in layer_infos(self.specification["bottom"]):
            for path in info["paths"]:
                yield from self.stored(path, info["digest"])
        for item in role["data"]:
            yield data_file(item, layer_infos([item["layer"]])[0]["digest"])
        if role["application"]:
            yield self.application(layer_infos(role["application"]))

    def application(self, infos: list[Json]) -> Component:
        """Return the project's own code."""
        project = self.specification["project"]
        return Component(
            type=ComponentType.APPLICATION,
            name=project["name"],
            version=project["version"],
            bom_ref=project["name"],
            licenses=[LicenseFactory().make_from_string(project["license"])],
            properties=[
                item
                for info in infos
                for path in info["files"].values()
                for item in properties(info["digest"], path)
            ],
        )

    def image(self, role: str) -> Component:
        """Return the image itself."""
        entry, project = self.images[role], self.specification["project"]
        architecture = {"arch": entry["platform"]["architecture"]}
        purl = PackageURL("oci", None, role, entry["digest"], architecture)
        return Component(
            type=ComponentType.CONTAINER,
            name=role,
            version=project["version"],
            purl=purl,
            bom_ref=str(purl),
            licenses=[LicenseFactory().make_from_string(project["license"])],
        )

    def bom(self, role: str) -> Bom:
        """Return the list of one image."""
        given = self.specification["roles"][role]
        layer_of = {
            path: info["digest"] for info in layer_infos(given["layers"]) for path in info["paths"]
        }
        wheels = {
            name: self.wheel(name, path, layer_of[path]) for name, path in given["wheels"].items()
        }
        others = list(self.others(given))
        root = self.image(role)
        bom = Bom(
            serial_number=uuid.uuid5(uuid.NAMESPACE_URL, str(root.purl)),
            components=[*wheels.values(), *others],
        )
        bom.metadata.timestamp = datetime.fromtimestamp(self.specification["created"], UTC)
        bom.metadata.component = root
        required = self.lock["roles"][given["group"]]["requires"]
        direct = [wheels[name] for name in required if name in wheels]
        bom.register_dependency(root, [*direct, *others])
        for name, component in wheels.items():
            needed = self.lock["packages"][name]["dependencies"]
            bom.register_dependency(component, [wheels[n] for n in needed if n in wheels])
        return bom


def debian_url(pin: Json) -> PackageURL:
    """Return the package URL of a Debian package; an epoch belongs to its version."""
    return PackageURL("deb", "debian", pin["name"], pin["version"], {"arch": pin["architecture"]})


def store_url(path: str) -> PackageURL:
    """Return a package URL for a store path: the version starts at the first dash before a digit."""
    words = path.split("-")[1:]
    numbers = [at for at, word in enumerate(words) if at and word[:1].isdigit()]
    split = numbers[0] if numbers else len(words)
    return PackageURL("generic", None, "-".join(words[:split]), "-".join(words[split:]) or None)


def provenance(infos: Iterable[Json]) -> Json:
    """Return digest -> what a layer is made of."""
    return {
        info["digest"]: {key: info[key] for key in ("reason", "paths", "files")} for info in infos
    }


def main(out: Path, specification: Path) -> None:
    """Write the lists of all roles, and layers.json."""
    given = json.loads(specification.read_text())
    writer = Writer(given)
    out.mkdir()
    layers: Json = {}
    for role, image in given["roles"].items():
        text = JsonV1Dot6(writer.bom(role)).output_as_string(indent=1)
        (out / f"{role}.cdx.json").write_text(text + "\n")
        layers |= provenance(layer_infos(image["layers"]))
    (out / "layers.json").write_text(json.dumps(layers, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
