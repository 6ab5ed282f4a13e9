"""Check that every file of a layout's images is for their architecture, without running one.

Usage: python check_files.py LAYOUT ARCHITECTURE LISTS OTHERS. ARCHITECTURE is OCI's name of it, LISTS the
folder with the lists of components, OTHERS a file with store paths, a line each, that no image may hold:
those of the machine that built them. Programs and libraries (ELF) have to be for that processor, and what
they load has to be in the image; bytecode has to be the kind that the image's interpreter reads. Prints
one line per image; ends with status 1 and one sentence per mistake.

Sources: System V ABI, chapters 4 and 5 (ELF); PEP 552 and importlib.util.MAGIC_NUMBER (bytecode).
"""

import json
import posixpath
import re
import struct
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from check import REF_NAME, resolve

type Json = dict[str, Any]
type Entries = dict[str, tarfile.TarInfo]

#: ELF's number of each processor (e_machine), by OCI's name of it.
MACHINES = {"amd64": 62, "arm64": 183}
DYNAMIC, INTERPRETER, LOAD = 2, 3, 1
NEEDED, RPATH, RUNPATH, STRINGS = 1, 15, 29, 5
#: Where an interpreter says which bytecode it reads, and how.
SAID = re.compile(r"nix/store/[^/]+/lib/python3\.\d+/importlib/_bootstrap_external\.py")
MAGIC = re.compile(rb"^MAGIC_NUMBER = \((\d+)\)", re.MULTILINE)
STORE_PATH = re.compile("nix/store/[^/]+")
#: Flags of bytecode whose source is never looked at (PEP 552).
UNCHECKED = 1


@dataclass
class Elf:
    """What an ELF file says of itself.

    Attributes:
        machine: The number of the processor.
        interpreter: The loader that it names, empty for a library.
        needed: The libraries that it asks for.
        folders: Where it looks for them.
    """

    machine: int
    interpreter: str = ""
    needed: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def text(content: bytes, at: int) -> str:
    """Return the text that ends with a zero byte."""
    return content[at : content.index(b"\0", at)].decode()


def read_elf(content: bytes) -> Elf:
    """Read an ELF file of 64 bits, little-endian, as both processors have them."""
    (machine,) = struct.unpack_from("<H", content, 18)
    (headers,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    found = Elf(machine)
    segments = [
        struct.unpack_from("<IIQQQQQQ", content, headers + size * index) for index in range(count)
    ]

    def place(address: int) -> int:
        for kind, _, offset, start, _, length, *_ in segments:
            if kind == LOAD and start <= address < start + length:
                return int(address - start + offset)
        raise ValueError(f"address {address} is in no segment")

    for kind, _, offset, _, _, length, *_ in segments:
        if kind == INTERPRETER:
            found.interpreter = text(content, offset)
        elif kind == DYNAMIC:
            pairs = list(struct.iter_unpack("<QQ", content[offset : offset + length // 16 * 16]))
            strings = place(next(value for tag, value in pairs if tag == STRINGS))
            found.needed = [text(content, strings + value) for tag, value in pairs if tag == NEEDED]
            found.folders = [
                folder
                for tag, value in pairs
                if tag in (RPATH, RUNPATH)
                for folder in text(content, strings + value).split(":")
                if folder
            ]
    return found


@dataclass
class Layer:
    """What a layer holds.

    Attributes:
        entries: Path without a leading slash -> tar header.
        elves: Path -> what the ELF file says.
        bytecode: Path -> the first eight bytes.
        said: The numbers of bytecode that interpreters say they read.
    """

    entries: Entries = field(default_factory=dict)
    elves: dict[str, Elf] = field(default_factory=dict)
    bytecode: dict[str, bytes] = field(default_factory=dict)
    said: set[int] = field(default_factory=set)

    def __or__(self, other: "Layer") -> "Layer":
        """Return what is in both together."""
        return Layer(
            self.entries | other.entries,
            self.elves | other.elves,
            self.bytecode | other.bytecode,
            self.said | other.said,
        )


@cache
def read_layer(blob: Path) -> Layer:
    """Read a layer's blob once."""
    found = Layer()
    with tarfile.open(blob, mode="r|gz") as tar:
        for info in tar:
            found.entries[info.name] = info
            if file := tar.extractfile(info) if info.isreg() else None:
                content = file.read()
                if content.startswith(b"\x7fELF"):
                    found.elves[info.name] = read_elf(content)
                elif info.name.endswith(".pyc"):
                    found.bytecode[info.name] = content[:8]
                elif SAID.fullmatch(info.name) and (number := MAGIC.search(content)):
                    found.said.add(int(number[1]))
    return found


def folder_of(store_path: str, entries: Entries) -> Iterator[str]:
    """Yield the names of all files of a store path."""
    for name in entries:
        if name.startswith(f"{store_path}/"):
            yield posixpath.basename(name)


def elf_mistakes(name: str, elf: Elf, image: Layer, architecture: str) -> Iterator[str]:
    """Yield sentences about one program or library."""
    if elf.machine != MACHINES[architecture]:
        yield f"/{name} is for processor {elf.machine}, not for {architecture}"
    own, base = posixpath.split(name)
    # The C library can be started too, and nobody does.
    started = elf.interpreter and base != "libc.so.6"
    if started and not resolve(image.entries, elf.interpreter.strip("/")):
        yield f"/{name} is started by {elf.interpreter}, which is not there"
    folders = [
        posixpath.normpath(folder.replace("$ORIGIN", f"/{own}")).strip("/")
        for folder in elf.folders
    ]
    # A wheel's libraries may have been loaded by whom they are for; the C library is by each program.
    store_path = STORE_PATH.match(name)
    beside = folder_of(store_path[0], image.entries) if store_path else ()
    there = {"libc.so.6", *beside} if elf.needed else set()
    for library in elf.needed:
        found = any(resolve(image.entries, f"{folder}/{library}") for folder in folders)
        if not found and library not in there and not library.startswith("ld-linux"):
            yield f"/{name} needs {library}, which is in none of {', '.join(elf.folders) or 'no folder'}"
    for folder in folders:
        # Of a prefix, its own folder may have been left out, or never been there.
        prefix = STORE_PATH.match(folder)
        if prefix and prefix[0] not in image.entries:
            yield f"/{name} looks for libraries in /{folder}, of which nothing is there"


def mistakes(image: Layer, architecture: str, others: set[str]) -> Iterator[str]:
    """Yield sentences about the files of an image."""
    for name, elf in image.elves.items():
        yield from elf_mistakes(name, elf, image, architecture)
    if len(image.said) != 1:
        yield f"interpreters read bytecode of {len(image.said)} kinds, not of one"
    for number in image.said:
        # importlib: the number, then a line's end.
        start = number.to_bytes(2, "little") + b"\r\n" + UNCHECKED.to_bytes(4, "little")
        for name, found in image.bytecode.items():
            if found != start:
                yield f"/{name} is bytecode that the interpreter does not take as it is"
    for name in image.entries:
        if STORE_PATH.fullmatch(name) and f"/{name}" in others:
            yield f"/{name} is of the machine that built the image"


def named(layout: Path, lists: Path, entry: Json, architecture: str) -> Iterator[str]:
    """Yield sentences about what index, configuration and list say of the architecture."""
    role = entry["annotations"][REF_NAME]
    manifest = document(layout, entry)
    said = {
        "the index": entry["platform"]["architecture"],
        "the configuration": document(layout, manifest["config"])["architecture"],
    }
    listed = json.loads((lists / f"{role}.cdx.json").read_text())
    purls = [item["purl"] for item in listed["components"] if "purl" in item]
    debian = [purl for purl in purls if purl.startswith("pkg:deb/debian/")]
    for purl in [listed["metadata"]["component"]["purl"], *debian]:
        said[purl] = (re.findall(r"[?&]arch=(\w+)", purl) or ["nothing"])[0]
    yield from (f"{who} says {what}" for who, what in said.items() if what != architecture)


def document(layout: Path, descriptor: Json) -> Json:
    """Return a JSON blob."""
    found: Json = json.loads(blob(layout, descriptor).read_text())
    return found


def blob(layout: Path, descriptor: Json) -> Path:
    """Return the file of a descriptor."""
    digest: str = descriptor["digest"]
    return layout / "blobs" / digest.replace(":", "/")


def main(layout: Path, architecture: str, lists: Path, others: Path) -> None:
    """Check a layout and print what was found."""
    foreign = set(others.read_text().split())
    wrong = []
    for entry in json.loads((layout / "index.json").read_text())["manifests"]:
        role = entry["annotations"][REF_NAME]
        image = Layer()
        for descriptor in document(layout, entry)["layers"]:
            image |= read_layer(blob(layout, descriptor))
        wrong += [f"{role}: {it}" for it in mistakes(image, architecture, foreign)]
        wrong += [f"{role}: {it}" for it in named(layout, lists, entry, architecture)]
        print(
            f"{role}: {len(image.elves)} programs and libraries for {architecture},"
            f" {len(image.bytecode)} modules of bytecode {', '.join(map(str, image.said))}"
        )
        if not image.elves or not image.bytecode:
            wrong.append(f"{role}: holds no program, or no bytecode")
    for mistake in wrong[:20]:
        print(f"image: {mistake}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
