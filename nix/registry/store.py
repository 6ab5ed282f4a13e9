"""The store paths and archive hashes of pinned artifacts, computed as Nix does, and adding them.

Sources: Nix manual, "Store path" and "Nix archive (NAR) format". Standard library only.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, NamedTuple

from machine import BringError, last_line, run, told

STORE = "/nix/store"
BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"


class Artifact(NamedTuple):
    """One pinned input: its name in the store, its sha256 (hex), of a Nix archive if recursive."""

    name: str
    sha256: str
    recursive: bool = False

    @property
    def path(self) -> str:
        """The store path that this content has."""
        if self.recursive:
            return store_path("source", self.sha256, self.name)
        inner = hashlib.sha256(f"fixed:out:sha256:{self.sha256}:".encode()).hexdigest()
        return store_path("output:out", inner, self.name)


def missing(artifacts: Iterable[Artifact]) -> set[Artifact]:
    """Return which artifacts the store lacks: a path left by a killed Nix is there but not valid."""
    by_path = {artifact.path: artifact for artifact in artifacts}
    done = run(["nix-store", "--check-validity", "--print-invalid", *by_path], Path("/"))
    if done.returncode:
        raise BringError(f"the Nix store cannot be read: {last_line(done.stderr, 'error')}")
    return {by_path[path] for path in done.stdout.split()}


def add(files: list[Path], recursive: bool = False) -> None:
    """Add downloaded content to the Nix store, each under its file name.

    Raises:
        BringError: The store refuses it.
    """
    flags = ["--recursive"] if recursive else []
    command = ["nix-store", "--add-fixed", *flags, "sha256", *map(str, files)]
    with told("adding to the Nix store"):
        done = run(command, Path("/"))
    if done.returncode:
        why = last_line(done.stderr, "error")
        raise BringError(f"the Nix store refuses {files[0].name}: {why}")


def compare(file: Path, sha256: str) -> None:
    """Raise BringError when a downloaded file does not have the sha256 (hex) of the lock."""
    actual = sha256_of(file)
    if actual != sha256:
        raise BringError(
            f"{file.name} has sha256 {actual}, the lock says {sha256}: the mirror serves other "
            "bits under this version; nothing was taken over"
        )


def store_path(kind: str, sha256: str, name: str) -> str:
    """Return the store path of a fingerprint: its sha256 folded to 160 bits, in base 32."""
    digest = hashlib.sha256(f"{kind}:sha256:{sha256}:{STORE}:{name}".encode()).digest()
    folded = bytearray(20)
    for place, byte in enumerate(digest):
        folded[place % 20] ^= byte
    return f"{STORE}/{nix32(bytes(folded))}-{name}"


def nix32(content: bytes) -> str:
    """Encode bytes in Nix's base 32: its own alphabet, the most significant digit first."""
    number = int.from_bytes(content, "little")
    digits = (len(content) * 8 + 4) // 5
    return "".join(BASE32[(number >> (5 * place)) & 31] for place in reversed(range(digits)))


def sha256_of(file: Path) -> str:
    """Return a file's sha256 as hex."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        for block in iter(lambda: content.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def archive_sha256(path: Path) -> str:
    """Return the sha256 (hex) of the Nix archive of a file or a tree."""
    digest = hashlib.sha256()

    def text(*words: str) -> None:
        for word in words:
            data(word.encode())

    def data(content: bytes) -> None:
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content + b"\0" * (-len(content) % 8))

    text("nix-archive-1")
    _archive(path, text, data)
    return digest.hexdigest()


def _archive(path: Path, text: Callable[..., None], data: Callable[[bytes], None]) -> None:
    """Write one node of a Nix archive: a symbolic link, a directory or a regular file."""
    text("(", "type")
    if path.is_symlink():
        text("symlink", "target", str(path.readlink()))
    elif path.is_dir():
        text("directory")
        for entry in sorted(path.iterdir(), key=lambda entry: os.fsencode(entry.name)):
            text("entry", "(", "name", entry.name, "node")
            _archive(entry, text, data)
            text(")")
    else:
        text("regular")
        if path.stat().st_mode & stat.S_IXUSR:
            text("executable", "")
        text("contents")
        data(path.read_bytes())
    text(")")
