"""Take out of Debian packages what an image has to say of them: dpkg's record and the copyright file.

Usage: python debian_records.py OUT PACKAGE.deb... OUT gets, for each package, `status.d/NAME`, in the form in
which dpkg keeps it (deb822, with a line `Status`), and `copyright/NAME`, the text that Debian ships as
/usr/share/doc/NAME/copyright (Debian policy, 12.5).

A package's documentation may be a link to that of another one of the same source. Where that is not
among the packages, `copyright/NAME` says in which package of Debian the text is.
"""

import io
import posixpath
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

DOCUMENTATION = "usr/share/doc"
INSTALLED = "Status: install ok installed\n"
#: ar(5): a magic word, then members with headers of 60 bytes, each starting at an even position.
MAGIC = b"!<arch>\n"
HEADER = 60


class DebianError(Exception):
    """A file is not a Debian package."""


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


def copyrights(package: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the copyright files of a package, and links between folders of documentation, by name."""
    texts: dict[str, bytes] = {}
    links: dict[str, str] = {}
    with member(package, "data") as tar:
        for info in tar:
            path = posixpath.normpath(info.name)
            folder, base = posixpath.split(path)
            if info.issym() and folder == DOCUMENTATION:
                links[base] = posixpath.basename(info.linkname)
            elif (
                info.isfile() and base == "copyright" and posixpath.dirname(folder) == DOCUMENTATION
            ):
                file = tar.extractfile(info)
                assert file
                texts[posixpath.basename(folder)] = file.read()
    return texts, links


def missing(name: str, holder: str, record: dict[str, str]) -> bytes:
    """Return what stands for a text that is in none of the packages."""
    of, version = source(record)
    return (
        f"The copyright file of {name} is that of Debian's package {holder}, which is not in this "
        f"image. Both are built from the source package {of} {version}.\n"
    ).encode()


def main(out: Path, packages: Iterable[Path]) -> None:
    """Write both files of all packages."""
    records: dict[str, dict[str, str]] = {}
    texts: dict[str, bytes] = {}
    links: dict[str, str] = {}
    (out / "status.d").mkdir(parents=True)
    (out / "copyright").mkdir()
    for package in packages:
        paragraph = control(package)
        record = fields(paragraph)
        records[record["Package"]] = record
        (out / "status.d" / record["Package"]).write_text(paragraph)
        found, more = copyrights(package)
        texts |= found
        links |= more
    for name, record in records.items():
        holder = links.get(name, name)
        text = texts.get(holder) or missing(name, holder, record)
        (out / "copyright" / name).write_bytes(text)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), map(Path, sys.argv[2:]))
    except DebianError as error:
        sys.exit(f"debian_records: {error}")
