"""Write one image layer: some store paths and some files of its own, as a gzipped tar.

Usage: python layer.py OUT REASON EXTRAS. The folder it runs in holds files `inside-N` and `outside-N`, closures in
the format of Nix's `exportReferencesGraph`: the layer is what is inside and not outside. REASON
is one line, EXTRAS a JSON file, a list of other entries (see `Extra`).
OUT gets `blob` and `layer.json`, which says what an image manifest and configuration have to know.

The same content gives the same bytes: names are sorted, owner, time and mode are fixed, and the
gzip header has neither name nor time. One file at a time is in memory, a piece of it.
"""

import hashlib
import json
import re
import stat
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict

#: OCI image specification 1.1, layer.md.
MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
#: zlib's 9 takes three times as long for one per cent.
LEVEL = 6
#: Seconds since 1970; Nix gives all its files this time.
TIME = 1
BLOCK = 512
PIECE = 1 << 20

#: What no role needs at run time, by its path in either package set.
OMITTED = re.compile(
    # Dependencies: tests, C and Cython sources, the source maps of web pages.
    r"/site-packages/.+/tests(/|$)"
    r"|/site-packages/.+\.(a|c|cpp|h|hpp|pxd|pyx|map)$"
    # The interpreter: IDLE, Tk, the installer of pip, its own tests, what extensions are compiled with.
    r"|/lib/python3[^/]*/(config-[^/]+|ensurepip|idlelib|test|tkinter|turtledemo)(/|$)"
    r"|^/nix/store/[^/]+/bin/((idle|pydoc)[0-9.]*|idle-python[0-9.]+|(.+-)?python[0-9.]*-config)$"
    # Bytecode of the levels that `python -O` and `-OO` read.
    r"|\.opt-[12]\.pyc$"
    # What is for compilers and people, and the C library's character set converters, which Python has
    # its own of.
    r"|^/nix/store/[^/]+/(include|nix-support|lib/(gconv|pkgconfig)|share/(doc|gdb|info|man))(/|$)"
)


class Extra(TypedDict, total=False):
    """An entry that is not from the store: a link, a file or a folder.

    Attributes:
        path: Absolute path in the image.
        target: Where a link points.
        source: Where a file's content is.
        mode: Permissions, octal digits; 755 for folders and 644 for files without.
        owner: Number of the user; 0 without. The group is 0, whose members are users that an engine
            chose by chance (OpenShift).
    """

    path: str
    target: str
    source: str
    mode: str
    owner: int


class Blob:
    """A gzipped blob being written, with what the specification wants to know about it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = 0
        self.plain_size = 0
        self.digest = hashlib.sha256()
        self.diff_id = hashlib.sha256()
        # 16 + 15: a gzip header, which zlib writes without name and time, and the largest window.
        self.packer = zlib.compressobj(LEVEL, wbits=31)

    def write(self, plain: bytes) -> None:
        """Append bytes of the tar."""
        self.diff_id.update(plain)
        self.plain_size += len(plain)
        self._append(self.packer.compress(plain))

    def close(self) -> None:
        """End the tar (two empty blocks, as POSIX wants it) and the blob."""
        self.write(bytes(2 * BLOCK))
        self._append(self.packer.flush())

    def _append(self, packed: bytes) -> None:
        self.digest.update(packed)
        self.size += len(packed)
        self.file.write(packed)


def closure(graphs: Iterable[Path]) -> set[str]:
    """Return the store paths that `exportReferencesGraph` files list.

    Each path has a line, then a line with its deriver, one with the number of its references, and
    one line for each of those.
    """
    found = set()
    for graph in graphs:
        lines = iter(graph.read_text().splitlines())
        for path in lines:
            found.add(path)
            next(lines)
            for _ in range(int(next(lines))):
                next(lines)
    return found


def tree(path: Path) -> Iterator[Path]:
    """Yield a path and all that is below it, sorted, without what is omitted."""
    if OMITTED.search(str(path)):
        return
    yield path
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir()):
            yield from tree(entry)


def header(path: str, kind: bytes, mode: int, owner: int = 0) -> tarfile.TarInfo:
    """Return a tar header without anything of the machine it is made on."""
    info = tarfile.TarInfo(path.strip("/"))
    info.type, info.mode, info.mtime = kind, mode, TIME
    info.uid = owner
    return info


def add(blob: Blob, info: tarfile.TarInfo, content: BinaryIO | None = None) -> None:
    """Append one entry; its size is that of the content."""
    # An extended header is written only where a name does not fit the plain one.
    blob.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))
    if content:
        while piece := content.read(PIECE):
            blob.write(piece)
        blob.write(bytes(-info.size % BLOCK))


def add_stored(blob: Blob, path: Path) -> None:
    """Append one file, link or folder of the store under its own name."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        info = header(str(path), tarfile.SYMTYPE, 0o777)
        info.linkname = str(path.readlink())
        add(blob, info)
    elif stat.S_ISDIR(status.st_mode):
        add(blob, header(str(path), tarfile.DIRTYPE, 0o555))
    else:
        add_file(blob, path, header(str(path), tarfile.REGTYPE, 0o444 | status.st_mode & 0o111))


def add_file(blob: Blob, source: Path, info: tarfile.TarInfo) -> None:
    """Append a regular file."""
    info.size = source.stat().st_size
    with source.open("rb") as content:
        add(blob, info, content)


def add_extra(blob: Blob, extra: Extra) -> None:
    """Append one entry that is not from the store."""
    mode = int(extra["mode"], 8) if "mode" in extra else None
    owner = extra.get("owner", 0)
    if "target" in extra:
        info = header(extra["path"], tarfile.SYMTYPE, 0o777)
        info.linkname = extra["target"]
        add(blob, info)
    elif "source" in extra:
        add_file(
            blob,
            Path(extra["source"]),
            header(extra["path"], tarfile.REGTYPE, mode or 0o644, owner),
        )
    else:
        add(blob, header(extra["path"], tarfile.DIRTYPE, mode or 0o755, owner))


def parents(paths: Iterable[str]) -> list[str]:
    """Return the folders above some paths, outer ones first."""
    return sorted({str(above) for path in paths for above in Path(path).parents} - {"/"})


def write(blob: Blob, paths: list[str], extras: list[Extra]) -> None:
    """Write the whole layer: what is not from the store first, then store path by store path."""
    named = {extra["path"] for extra in extras}
    folders = set(parents([*paths, *named])) - named
    entries = [*extras, *(Extra(path=folder) for folder in folders)]
    for extra in sorted(entries, key=lambda entry: entry["path"]):
        add_extra(blob, extra)
    for path in paths:
        for entry in tree(Path(path)):
            add_stored(blob, entry)
    blob.close()


def main(out: Path, reason: str, others: Path) -> None:
    """Write OUT/blob and OUT/layer.json."""
    here = Path.cwd()
    paths = sorted(closure(here.glob("inside-*")) - closure(here.glob("outside-*")))
    extras: list[Extra] = json.loads(others.read_text())
    out.mkdir()
    with (out / "blob").open("wb") as file:
        blob = Blob(file)
        write(blob, paths, extras)
    about = {
        "mediaType": MEDIA_TYPE,
        "digest": f"sha256:{blob.digest.hexdigest()}",
        "size": blob.size,
        "diffID": f"sha256:{blob.diff_id.hexdigest()}",
        "plainSize": blob.plain_size,
        "reason": reason,
        "paths": paths,
        "files": {extra["path"]: extra["source"] for extra in extras if "source" in extra},
    }
    (out / "layer.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
