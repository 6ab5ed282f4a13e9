"""Find what wheels bring along: in the lists of components that they ship (PEP 770), and in their libraries.

Wheels hold libraries and Rust crates that no lock names. Some say which, in `.dist-info/sboms/`.
auditwheel copies shared libraries into folders `*.libs` and knows those that came from a package of
the system that it ran on; of others only the file itself tells.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packageurl import PackageURL

type Json = dict[str, Any]

#: name -> the text in the library that holds its version, the licence, and vendor and product in CPE names.
KNOWN = {
    "openssl": (rb"OpenSSL (\d+\.\d+\.\d+) ", "Apache-2.0", "openssl:openssl"),
    "openblas": (rb"OpenBLAS (\d+\.\d+\.\d+)[. ]", "BSD-3-Clause", "openblas_project:openblas"),
}
#: libpq's name ends with PostgreSQL's major version; its release is nowhere in it.
LIBPQ = re.compile(r"libpq-\w+\.so\.5\.(\d+)")
LIBRARY = re.compile(r".+\.so(\.[0-9.]+)?")


@dataclass
class Bundled:
    """One library in a wheel.

    Attributes:
        name: Its name.
        version: Its version, None where nothing says it.
        purl: Its package URL; None where the wheel's list has none.
        licenses: SPDX names or expressions, or free names.
        sha256: The hash that the wheel's list gives, of the source or the package.
        cpe: Its name in the National Vulnerability Database.
    """

    name: str
    version: str | None
    purl: PackageURL | None = None
    licenses: list[str] = field(default_factory=list)
    sha256: str | None = None
    cpe: str | None = None

    @property
    def key(self) -> str:
        """Return what tells it from the others of the same wheel."""
        return str(self.purl or f"{self.name}@{self.version}")


def package_url(text: str | None) -> PackageURL | None:
    """Return a package URL without what names a folder of the machine that built the wheel."""
    if not text:
        return None
    url = PackageURL.from_string(text)
    qualifiers = {
        key: value for key, value in (url.qualifiers or {}).items() if not value.startswith("file:")
    }
    return url._replace(qualifiers=qualifiers)


def named(licenses: list[Json]) -> list[str]:
    """Return the licences of a component as texts."""
    return [
        item.get("expression") or item["license"].get("id") or item["license"].get("name", "")
        for item in licenses
    ]


def normalized(name: str) -> str:
    """Return the form of a package's name in which it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(component: Json) -> Bundled:
    """Return a component of a wheel's own list."""
    hashes = {item["alg"]: item["content"] for item in component.get("hashes", [])}
    purl = package_url(component.get("purl"))
    return Bundled(
        component["name"],
        component.get("version"),
        purl,
        named(component.get("licenses", [])),
        hashes.get("SHA-256"),
    )


def from_lists(info: Path, package: str) -> Iterator[Bundled]:
    """Yield what a wheel's own lists name, without the wheel itself and what only built it.

    Args:
        info: The wheel's folder `.dist-info`.
        package: Its normalized name.
    """
    for file in sorted(info.glob("sboms/*.json")):
        given = json.loads(file.read_text())
        for component in given.get("components", []):
            found = listed(component)
            itself = (
                found.purl and found.purl.type == "pypi" and normalized(found.purl.name) == package
            )
            shipped = component["type"] == "library" and component.get("scope") != "excluded"
            if shipped and not itself:
                yield found


def libraries(site: Path) -> list[Path]:
    """Return the shared libraries that auditwheel, or a build like it, put into a wheel."""
    folders = [*site.glob("*.libs"), *site.glob("*/.libs")]
    found = [file for folder in folders for file in folder.iterdir()]
    return sorted(file for file in found if LIBRARY.fullmatch(file.name))


def recognized(file: Path) -> Bundled | None:
    """Return the project that a library is of and its version, by its name or a text in it."""
    if major := LIBPQ.fullmatch(file.name):
        purl = PackageURL("generic", None, "libpq", major[1])
        return Bundled("libpq", major[1], purl, ["PostgreSQL"])
    content = file.read_bytes()
    for name, (pattern, licence, product) in KNOWN.items():
        if match := re.search(pattern, content):
            version = match[1].decode()
            cpe = f"cpe:2.3:a:{product}:{version}:*:*:*:*:*:*:*"
            purl = PackageURL("generic", None, name, version)
            return Bundled(name, version, purl, [licence], None, cpe)
    return None


def bundled(info: Path, package: str) -> list[Bundled]:
    """Return all that a wheel brings along and that can be named, each once."""
    seen = [recognized(file) for file in libraries(info.parent)]
    found = [*from_lists(info, package), *(item for item in seen if item)]
    return list({item.key: item for item in found}.values())


def sha256(file: Path) -> str:
    """Return the hash of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
