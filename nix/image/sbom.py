"""Write a list of components (SBOM, CycloneDX 1.6) for each image, and what its layers are made of.

Usage: python sbom.py OUT SPECIFICATION. SPECIFICATION is a JSON file: `layout`, the OCI layout;
`lock`, the file ../python/lock.json; `system`, the Nix system; `project`, that table of
pyproject.toml; `bottom`, the layers below the wheels; `prefixes`, store paths with the Debian
packages they are made of; `records`, what debian_records.py wrote of these, or null; `packages`, what
nixpkgs says of its own, as nixpkgs.nix reads it; and `roles`: for each its dependency `groups`, its
`layers` (made by layer.py), the layers of the `application`,
`wheels`, name -> store path, and `data`: each a `file` (a store path) in a `layer`, with its
`sha256`, its `license`, and the `source` (a package URL) and `version` that it is from; and
`build`, what provenance.py takes.

OUT gets `ROLE.cdx.json` and `ROLE.provenance.json` for each role, and `layers.json`: digest of a
layer -> why it is there, its store paths, and the store paths of its other files. Everything follows
from the input: the serial number is made from the manifest's digest. The provenance names the commit,
the lists do not.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

import licenses
import provenance
from bundled import Bundled, bundled, libraries, sha256
from debian_records import fields, source

type Json = dict[str, Any]

REF_NAME = "org.opencontainers.image.ref.name"
SITE = "lib/python3.13/site-packages"
#: Seconds since 1970, as in the images: the same content gives the same list, whatever the commit.
TIME = 1


def layer_infos(layers: Iterable[str]) -> list[Json]:
    """Return the layer.json of layers."""
    return [json.loads((Path(layer) / "layer.json").read_text()) for layer in layers]


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
        licenses=[licenses.spelled(item["license"])],
        properties=properties(digest, item["file"]),
    )


def inside(item: Bundled, wheel: Component) -> Component:
    """Return a library that a wheel brings along, found where the wheel is."""
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=item.sha256)] if item.sha256 else []
    return Component(
        type=ComponentType.LIBRARY,
        name=item.name,
        version=item.version,
        purl=item.purl,
        cpe=item.cpe,
        bom_ref=f"{wheel.bom_ref.value}#{item.key}",
        hashes=hashes,
        licenses=map(licenses.spelled, item.licenses),
        properties=wheel.properties,
    )


def file_of(library: Path, wheel: Component) -> Component:
    """Return a shared library in a wheel as the file that it is."""
    return Component(
        type=ComponentType.FILE,
        name=library.name,
        bom_ref=f"{wheel.bom_ref.value}#{library.name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256(library))],
    )


class Writer:
    """Writes the lists of one layout."""

    def __init__(self, specification: Json) -> None:
        self.specification = specification
        self.lock: Json = json.loads(Path(specification["lock"]).read_text())
        self.debian = {item["path"]: item["debian"] for item in specification["prefixes"]}
        self.nixpkgs = {item["path"]: item for item in specification["packages"]}
        records = specification["records"]
        self.records = Path(records) if records else None
        self.release = release(self.records) if self.records else {}
        index = json.loads((Path(specification["layout"]) / "index.json").read_text())
        self.images = {entry["annotations"][REF_NAME]: entry for entry in index["manifests"]}

    def wheel(self, name: str, path: str, digest: str) -> Component:
        """Return a Python package as a component, with the hash of its wheel and its library files."""
        package = self.lock["packages"][name]
        wheel = package["wheels"][self.specification["system"]]
        purl = PackageURL("pypi", None, name, package["version"], {"file_name": wheel["file"]})
        licence = licenses.of_wheel(name, info_of(path))
        known = [licenses.spelled(licence)] if licence else []
        found = library(purl, wheel["sha256"], properties(digest, path), known)
        found.components = [file_of(file, found) for file in libraries(Path(path) / SITE)]
        return found

    def record(self, name: str) -> dict[str, str]:
        """Return the fields of dpkg's record of a package."""
        assert self.records
        return fields((self.records / "status.d" / name).read_text())

    def debian_package(self, pin: Json, where: list[Property]) -> Component:
        """Return a Debian package; scanners look it up by its source and the release."""
        name, version = source(self.record(pin["name"]))
        assert self.records
        text = (self.records / "copyright" / pin["name"]).read_text()
        licence = licenses.spelled(licenses.of_debian(text, name))
        purl = debian_url(pin, self.release, name, version)
        looked_up = [
            Property(name="aquasecurity:trivy:SrcName", value=name),
            Property(name="aquasecurity:trivy:SrcVersion", value=version),
        ]
        return library(purl, pin["sha256"], [*where, *looked_up], [licence])

    def stored(self, path: str, digest: str) -> list[Component]:
        """Return what a store path is made of: Debian's packages, or one of nixpkgs."""
        where = properties(digest, path)
        if path in self.debian:
            return [self.debian_package(pin, where) for pin in self.debian[path]]
        return [self.package(path, where)]

    def package(self, path: str, where: list[Property]) -> Component:
        """Return a package of nixpkgs; of most that others depend on there is only the path."""
        if path not in self.nixpkgs:
            return library(store_url(path), None, where)
        given = self.nixpkgs[path]
        purl = PackageURL("generic", None, given["name"], given["version"])
        licence = licenses.spelled(licenses.of_nixpkgs(given["license"]))
        found = library(purl, None, where, [licence])
        found.cpe = given["cpe"]
        return found

    def system(self) -> list[Component]:
        """Return the distribution that packages are from: without it scanners pass over them."""
        if not self.release:
            return []
        name, version = self.release["ID"], self.release["VERSION_ID"]
        return [
            Component(
                type=ComponentType.OPERATING_SYSTEM,
                name=name,
                version=version,
                bom_ref=f"os:{name}-{version}",
            )
        ]

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
            licenses=[licenses.spelled(project["license"])],
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
            licenses=[licenses.spelled(project["license"])],
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
        systems = self.system()
        brought = {
            name: [inside(item, wheels[name]) for item in bundled(info_of(path), name)]
            for name, path in given["wheels"].items()
        }
        root = self.image(role)
        within = [item for items in brought.values() for item in items]
        bom = Bom(
            serial_number=uuid.uuid5(uuid.NAMESPACE_URL, str(root.purl)),
            components=[*wheels.values(), *within, *systems, *others],
        )
        bom.metadata.timestamp = datetime.fromtimestamp(TIME, UTC)
        bom.metadata.component = root
        required = {n for group in given["groups"] for n in self.lock["roles"][group]["requires"]}
        direct = [wheels[name] for name in sorted(required & wheels.keys())]
        bom.register_dependency(root, [*direct, *systems, *others])
        for name, component in wheels.items():
            needed = self.lock["packages"][name]["dependencies"]
            python = [wheels[n] for n in needed if n in wheels]
            bom.register_dependency(component, [*python, *brought[name]])
        self.debian_dependencies(bom, systems, others)
        return bom

    def debian_dependencies(
        self, bom: Bom, systems: list[Component], others: list[Component]
    ) -> None:
        """Note which Debian packages there are of the system, and which need which."""
        there = {item.name: item for item in others if item.purl and item.purl.type == "deb"}
        for system in systems:
            bom.register_dependency(system, there.values())
        for name, component in there.items():
            needed = dependencies(self.record(name))
            bom.register_dependency(component, [there[n] for n in needed if n in there])


def info_of(wheel: str) -> Path:
    """Return the folder `.dist-info` of an installed wheel."""
    (info,) = (Path(wheel) / SITE).glob("*.dist-info")
    return info


def dependencies(record: dict[str, str]) -> list[str]:
    """Return the names of the packages that a Debian package needs; of alternatives, all."""
    text = ",".join(record.get(key, "") for key in ("Pre-Depends", "Depends"))
    return [word.split("(")[0].split(":")[0].strip() for word in re.split(r"[,|]", text) if word]


def release(records: Path) -> dict[str, str]:
    """Return what /etc/os-release says (os-release(5))."""
    lines = (records / "os-release").read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def debian_url(pin: Json, release: dict[str, str], source: str, version: str) -> PackageURL:
    """Return the package URL of a Debian package; an epoch belongs to its version.

    Args:
        pin: Its `name`, `version` and `architecture`.
        release: What /etc/os-release says.
        source: The package that it is built from.
        version: That of the source, which a rebuild leaves as it is.
    """
    qualifiers = {
        "arch": pin["architecture"],
        "distro": f"{release['ID']}-{release['VERSION_ID']}",
    }
    if (source, version) != (pin["name"], pin["version"]):
        qualifiers["upstream"] = source if version == pin["version"] else f"{source}@{version}"
    return PackageURL("deb", release["ID"], pin["name"], pin["version"], qualifiers)


def store_url(path: str) -> PackageURL:
    """Return a package URL for a store path: the version starts at the first dash before a digit."""
    words = path.split("-")[1:]
    numbers = [at for at, word in enumerate(words) if at and word[:1].isdigit()]
    split = numbers[0] if numbers else len(words)
    return PackageURL("generic", None, "-".join(words[:split]), "-".join(words[split:]) or None)


def made_of(infos: Iterable[Json]) -> Json:
    """Return digest -> what a layer is made of."""
    return {
        info["digest"]: {key: info[key] for key in ("reason", "paths", "files")} for info in infos
    }


def write(file: Path, value: Json) -> None:
    """Write JSON, with one form for one value."""
    file.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def main(out: Path, specification: Path) -> None:
    """Write the lists and the provenance of all roles, and layers.json."""
    given = json.loads(specification.read_text())
    writer = Writer(given)
    out.mkdir()
    layers: Json = {}
    for role, image in given["roles"].items():
        text = JsonV1Dot6(writer.bom(role)).output_as_string(indent=1)
        (out / f"{role}.cdx.json").write_text(text + "\n")
        infos = layer_infos(image["layers"])
        digest = writer.images[role]["digest"]
        built = provenance.statement(role, digest, given["build"], infos)
        write(out / f"{role}.provenance.json", built)
        layers |= made_of(infos)
    write(out / "layers.json", layers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
