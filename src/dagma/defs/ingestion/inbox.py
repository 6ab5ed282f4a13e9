"""The inbox: a directory whose subdirectories say how far each file is.

    inbox/              dropped by anybody; a file is left alone until it has stopped changing
    inbox/processing/   taken: named by its partition key, a run is on its way
    inbox/archive/      its run succeeded, its checks too; kept, so that it can be read again
    inbox/failed/       its run or a check failed; beside it, in NAME.error.txt, why

A file goes from one to the next by a rename inside one file system, so it is always whole and in
exactly one of them.

Only the sensor moves files, at its ticks, and only after looking up how the run ended. A run that
moved its own file could be killed between the move and its success, or the other way round, and a
sensor for finished runs could miss one while its cursor was reset. This way a killed run, daemon or
code server leaves a file in `processing` and a run, or none, in the database: that is all the next
tick needs to go on. Nothing else is remembered.
"""

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import dagster as dg
from pydantic import Field

from dagma.defs.ingestion.errors import FileChanged, Refused, UnknownSource
from dagma.lock import alone

#: Names that programs give to files which they are still writing.
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")
#: Characters of a file's name in its key: with up to four bytes each, time, hash and suffix, a name
#: stays below the 255 bytes of a file system.
NAME_LENGTH = 40

_KEY = re.compile(r"(?P<name>.+)-(?P<time>\d{8}T\d{6}Z)-(?P<hash>[0-9a-f]{16})", re.DOTALL)
_TIME = "%Y%m%dT%H%M%SZ"


class State(NamedTuple):
    """What tells whether a file has changed."""

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> "State":
        """The state in what the system says about a file."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


class Key(NamedTuple):
    """The parts of a partition key: NAME-TIME-HASH."""

    name: str
    time: datetime
    hash: str

    def __str__(self) -> str:
        return f"{self.name}-{self.time.strftime(_TIME)}-{self.hash}"

    @classmethod
    def of(cls, text: str) -> "Key | None":
        """Read a key; None when somebody else made it up."""
        found = _KEY.fullmatch(text)
        if not found:
            return None
        time = datetime.strptime(found["time"], _TIME).replace(tzinfo=UTC)
        return cls(found["name"], time, found["hash"])

    @classmethod
    def make(cls, file_name: str, content_hash: str) -> "Key":
        """A key for a file that is taken now.

        Partition keys forbid control characters and "...", and IO managers make file names of them,
        so of the name only letters, digits, - and _ stay.
        """
        stem = unicodedata.normalize("NFC", Path(file_name).stem)
        if earlier := cls.of(stem):  # out of `failed` again
            stem = earlier.name
        name = re.sub(r"[^\w-]+", "-", stem).strip("-")[:NAME_LENGTH] or "file"
        return cls(name, datetime.now(UTC).replace(microsecond=0), content_hash)


class Inbox(dg.ConfigurableResource["Inbox"]):
    """The directory that DAGMA_INBOX names."""

    path: str = Field(default="", description="The directory; empty means that there is none.")
    largest: int = Field(
        default=500_000_000, ge=1, description="Bytes; a larger file is refused, not read."
    )

    @property
    def root(self) -> Path:
        """Where files are dropped."""
        return Path(self.path)

    @property
    def processing(self) -> Path:
        """Files whose run is on its way."""
        return self.root / "processing"

    @property
    def archive(self) -> Path:
        """Files whose run succeeded, and copies of them."""
        return self.root / "archive"

    @property
    def failed(self) -> Path:
        """Files whose run failed, and files that were refused."""
        return self.root / "failed"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other process out, such as the tick of a daemon that was killed meanwhile.

        Raises:
            BlockingIOError: Another one is inside.
            OSError: The directory cannot be written.
        """
        for directory in (self.processing, self.archive, self.failed):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(self.processing, BlockingIOError(f"{self.path} is in use by another process.")):
            yield

    def arrivals(self) -> tuple[dict[str, State], list[str]]:
        """Files that may be taken, by name, and a line about each other thing that lies there.

        Symbolic links are not followed: they could name any file that we can read.
        """
        files: dict[str, State] = {}
        others: list[str] = []
        own = {self.processing.name, self.archive.name, self.failed.name}
        for entry in sorted(os.scandir(self.root), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
                continue
            if entry.is_file(follow_symlinks=False):
                files[entry.name] = State.of(entry.stat(follow_symlinks=False))
            elif entry.name not in own:
                others.append(f"{shown(entry.name)} is not a regular file and is left alone")
        return files, others

    def content_hash(self, name: str, expected: State) -> str | None:
        """The beginning of the SHA-256 of a dropped file; None when it changes meanwhile.

        Raises:
            Refused: It is too large, or cannot be read.
        """
        if expected.size > self.largest:
            raise Refused(f"it has {expected.size} bytes, more than the {self.largest} allowed")
        try:
            return _hash(self.root / name, expected)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused(f"it cannot be read: {error.strerror}") from error

    def take(self, name: str, content_hash: str) -> Key:
        """Move a dropped file to `processing`.

        Raises:
            OSError: It cannot be moved; it stays where it is.
        """
        key = Key.make(name, content_hash)
        _move(self.root / name, self.processing / f"{key}{_suffix(name)}")
        return key

    def put_aside(self, name: str, content_hash: str) -> None:
        """Archive a dropped file whose content was taken before.

        Raises:
            OSError: It cannot be moved; it stays where it is.
        """
        key = Key.make(name, content_hash)
        _move(self.root / name, self.archive / f"{key}{_suffix(name)}")

    def refuse(self, name: str, why: str) -> None:
        """Move a dropped file that was not even read to `failed`.

        Raises:
            OSError: It cannot be moved; it stays where it is.
        """
        key = Key.make(name, "0" * 16)
        self._fail(self.root / name, f"{key}{_suffix(name)}", f"{shown(name)}: {why}")

    def taken(self) -> dict[str, Path]:
        """What is in `processing`, by partition key."""
        return _by_key(self.processing)

    def succeeded(self, file: Path) -> None:
        """Archive a file of `processing`."""
        _move(file, self.archive / file.name)

    def broke(self, file: Path, why: str) -> None:
        """Move a file of `processing` to `failed`, the reason beside it."""
        self._fail(file, file.name, why)

    def archived(self) -> dict[str, Path]:
        """What is in `archive`, by partition key, with copies under keys of their own."""
        return _by_key(self.archive)

    def file_of(self, partition_key: str) -> Path:
        """The file of a partition, now or in the archive.

        Raises:
            UnknownSource: There is none.
            FileChanged: It is not what it was when it was taken.
        """
        file = self.taken().get(partition_key) or self.archived().get(partition_key)
        key = Key.of(partition_key)
        if file is None or key is None:
            raise UnknownSource(
                f"There is no file for {partition_key} in {self.archive}; put it into {self.root}."
            )
        if _hash(file, State.of(file.lstat())) != key.hash:
            raise FileChanged(
                f"{file.name} was changed after it was taken; put it into {self.root} when it is "
                "complete, or under a name that ends in .part until then."
            )
        return file

    def _fail(self, file: Path, name: str, why: str) -> None:
        # The reason first: when we are killed in between, the next tick does both again.
        (self.failed / f"{name}.error.txt").write_text(f"{why}\n", encoding="utf-8")
        _move(file, self.failed / name)


def shown(name: str) -> str:
    """A file name for messages, whatever characters are in it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def _hash(file: Path, expected: State) -> str | None:
    # Not through a link, and not waiting for the writer of a pipe that has taken the name.
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as content:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode) or State.of(before) != expected:
            return None
        digest = hashlib.file_digest(content, "sha256").hexdigest()[:16]
        return digest if State.of(os.fstat(descriptor)) == expected else None


def _move(source: Path, target: Path) -> None:
    # Keys hold time and content, so this only meets somebody's own file; rename would replace it.
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"{target} is in the way.")
    source.rename(target)


def _by_key(directory: Path) -> dict[str, Path]:
    files = sorted(directory.glob("*")) if directory.is_dir() else []
    return {
        key: file
        for file in files
        if not file.is_symlink() and file.is_file()
        if Key.of(key := file.name.removesuffix(_suffix(file.name)))
    }


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,8}", suffix) else ""
