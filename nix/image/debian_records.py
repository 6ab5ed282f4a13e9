"""Take out of Debian packages what an image has to say of them: dpkg's record and the copyright file.

Usage: python debian_records.py OUT LICENCES PACKAGE.deb... OUT gets, for each package, `status.d/NAME`, in
the form in which dpkg keeps it (deb822, with a line `Status`), and `copyright/NAME`, the text that
Debian ships as /usr/share/doc/NAME/copyright (Debian policy, 12.5); and what base-files has: `os-release`,
and the texts of licences that copyright files refer to in `common-licenses`, those that LICENCES
names with spaces between.

A package's documentation may be a link to that of another one of the same source.
"""

import io
import posixpath
import re
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

DOCUMENTATION = "usr/share/doc"
COMMON = "usr/share/common-licenses"
RELEASE = "usr/lib/os-release"
REFERENCE = re.compile(rb"/usr/share/common-licenses/([A-Za-z0-9-]+(?:\.[0-9]+)?)")
INSTALLED = "Status: install ok installed\n"
#: ar(5): a magic word, then members with headers of 60 bytes, each starting at an even position.
MAGIC = b"!<arch>\n"
HEADER = 60


class DebianError(Exception):
    """A file is not a Debian package, or a text is in none of them."""


def members(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member of a package, which is an ar archive (deb(5)).

    Raises:
        DebianError: It is none.
    """
    content = package.read_bytes()
    if not content.startswith(MAGIC):
        raise DebianError(f"{package} is not a Debian package: it is no ar archive")
    at = len(MAGIC)
    while at + HEADER <= len(content):
        header = content[at : at + HEADER]
        size = int(header[48:58])
        yield header[:16].decode().rstrip(" /"), content[at + HEADER : at + HEADER + size]
        at += HEADER + size + size % 2


def member(package: Path, stem: str) -> tarfile.TarFile:
    """Open the tar archive `control` or `data` of a package, however it is compressed."""
    for name, content in members(package):
        if name.startswith(f"{stem}.tar"):
            return tarfile.open(fileobj=io.BytesIO(content))
    raise DebianError(f"{package} is not a Debian package: it has no {stem}.tar")


def control(package: Path) -> str:
    """Return the paragraph that describes a package, as dpkg keeps it of an installed one."""
    with member(package, "control") as tar:
        file = tar.extractfile("./control")
        assert file
        head, _, rest = file.read().decode().strip().partition("\n")
    return f"{head}\n{INSTALLED}{rest}\n"


def fields(paragraph: str) -> dict[str, str]:
    """Return the fields of a deb822 paragraph; of those that go on, all lines as they are."""
    found: dict[str, str] = {}
    key = ""
    for line in paragraph.splitlines():
        if line[:1] in (" ", "\t"):
            found[key] = f"{found.get(key, '')}\n{line}"
        elif ":" in line:
            key, _, text = line.partition(":")
            found[key] = text.strip()
    return found


def source(record: dict[str, str]) -> tuple[str, str]:
    """Return name and version of the source package that a package is built from.

    The field `Source` is left out where both are the package's own, and its version where only that
    is the same (Debian policy, 5.6.1).
    """
    name, _, version = record.get("Source", record["Package"]).partition(" (")
    return name, version.rstrip(")") or record["Version"]


class Texts:
    """Files of Debian packages by their path, and the links among them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.links: dict[str, str] = {}

    def take(self, package: Path) -> None:
        """Keep the texts of a package."""
        with member(package, "data") as tar:
            for info in tar:
                path = posixpath.normpath(info.name)
                folder, base = posixpath.split(path)
                wanted = folder == COMMON or path == RELEASE or base == "copyright"
                if info.issym() and folder in (DOCUMENTATION, COMMON):
                    self.links[path] = posixpath.normpath(posixpath.join(folder, info.linkname))
                elif info.isfile() and wanted:
                    file = tar.extractfile(info)
                    assert file
                    self.files[path] = file.read()

    def read(self, path: str) -> bytes:
        """Return a text; it, or its folder, may be a link, to another link too.

        Raises:
            DebianError: None of the packages has it.
        """
        seen = set[str]()
        while path not in self.files:
            folder, base = posixpath.split(path)
            onward = self.links.get(path, posixpath.join(self.links.get(folder, folder), base))
            if onward in {path, *seen}:
                raise DebianError(f"none of the packages has /{path}: add the one that has it")
            seen.add(path)
            path = onward
        return self.files[path]


def main(out: Path, licences: list[str], packages: Iterable[Path]) -> None:
    """Write the files of all packages.

    Raises:
        DebianError: A package is none, or a text is missing.
    """
    texts = Texts()
    names = []
    for folder in ("status.d", "copyright", "common-licenses"):
        (out / folder).mkdir(parents=True)
    for package in packages:
        paragraph = control(package)
        names.append(fields(paragraph)["Package"])
        (out / "status.d" / names[-1]).write_text(paragraph)
        texts.take(package)
    for name in names:
        text = texts.read(f"{DOCUMENTATION}/{name}/copyright")
        (out / "copyright" / name).write_bytes(text)
        others = {reference.decode() for reference in REFERENCE.findall(text)} - set(licences)
        if others:
            raise DebianError(
                f"{name} refers to {', '.join(sorted(others))}: name it in debian.nix"
            )
    for licence in licences:
        (out / "common-licenses" / licence).write_bytes(texts.read(f"{COMMON}/{licence}"))
    (out / "os-release").write_bytes(texts.read(RELEASE))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2].split(), map(Path, sys.argv[3:]))
    except DebianError as error:
        sys.exit(f"debian_records: {error}")
