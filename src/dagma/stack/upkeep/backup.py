"""Write a backup of the running stack into one file.

The databases come first, each dumped in one snapshot, then the files: so every file that a database
knows of is there, and what was written meanwhile is in the backup or not, but never half of it in a
table. The file has a temporary name until it is complete and on the disk.
"""

import contextlib
import datetime
import os
import re
import shutil
import sqlite3
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from rich.filesize import decimal

from dagma.errors import BackupError
from dagma.files import sync
from dagma.lock import alone
from dagma.stack import services
from dagma.stack.applications import applications, connected
from dagma.stack.control import Stack
from dagma.stack.service import Application, Say, Tree
from dagma.stack.services.dagster import unedited
from dagma.stack.settings import Settings
from dagma.stack.upkeep import dumps, migrations
from dagma.stack.upkeep.archive import CHUNK, Writer
from dagma.stack.upkeep.dumps import beyond

#: Name of a backup: when, in UTC, and the system identifier of the cluster it is of.
NAME = re.compile(r"dagma-(?P<at>\d{8}T\d{6}Z)-(?P<installation>\d+)\.tar")
#: Of files that are not complete; a backup removes those of killed ones.
TEMPORARY = ".dagma-backup-"
#: What SQLite keeps beside a database; its backup has their content.
_SQLITE, _SQLITE_BESIDE = b"SQLite format 3\0", ("-wal", "-shm", "-journal")


def write(stack: Stack, directory: Path, say: Say) -> Path:
    """Write a backup and remove those beyond DAGMA_BACKUPS_KEPT.

    Args:
        stack: The running stack.
        directory: Where to; made when missing, readable by its owner only.
        say: Told of the progress.

    Returns:
        The file, of mode 0600.

    Raises:
        NotRunning: PostgreSQL does not run.
        BackupError: Something cannot be read or written; nothing is left of the new backup.
    """
    directory = directory.absolute()
    _place(stack, directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(directory, BackupError(f"Another backup is being written in {directory}.")):
            for left in directory.glob(f"{TEMPORARY}*"):
                left.unlink()
            done = _write(stack, directory, say)
            for old in beyond(directory, NAME, done, stack.settings.backups_kept):
                old.unlink()
                say(f"Removed {old.name}: {stack.settings.backups_kept} are kept.")
            return done
    except OSError as error:
        raise BackupError(f"The backup in {directory} failed: {error}.") from error


def _place(stack: Stack, directory: Path) -> None:
    """Refuse a stopped stack, and a directory that would be part of its own content."""
    stack.require_postgres()
    if shutil.which("pg_dump") is None:
        raise BackupError("Not on PATH: pg_dump; it comes with PostgreSQL.")
    target = directory.resolve()
    home = stack.settings.home
    for inside in (home, *(tree.path(stack.settings) for tree in trees(stack.settings))):
        if target.is_relative_to(inside.resolve()):
            raise BackupError(
                f"{directory} is inside {inside}, which is backed up: choose a directory elsewhere."
            )


def trees(settings: Settings) -> tuple[Tree, ...]:
    """The directories of a backup.

    Raises:
        BackupError: One of them holds the state directory.
    """
    for path in (tree.path(settings) for tree in services.TREES):
        if settings.home.resolve().is_relative_to(path.resolve()):
            raise BackupError(
                f"{path} holds DAGMA_HOME and cannot be told apart: move one of them."
            )
    return services.TREES


def _write(stack: Stack, directory: Path, say: Say) -> Path:
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=directory)
    path = Path(temporary)
    try:
        with os.fdopen(descriptor, "wb") as file:
            writer = Writer(file)
            facts = _databases(stack.settings, writer, directory, say)
            for tree in trees(stack.settings):
                _tree(writer, tree.folder, tree.path(stack.settings), directory, say, tree.what)
            for service in services.ALL:
                facts["versions"] |= service.back_up(stack, writer, directory, say)
            created, target = _free(directory, facts["installation"])
            manifest = writer.finish(created=created, **facts)
            file.flush()
            os.fsync(file.fileno())
        path.rename(target)
        sync(directory)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    say(f"{len(manifest.files)} files, {decimal(target.stat().st_size)}.")
    return target


def _free(directory: Path, installation: str) -> tuple[str, Path]:
    """The time and the name; within one second there is one backup."""
    while True:
        now = datetime.datetime.now(datetime.UTC)
        path = directory / f"dagma-{now:%Y%m%dT%H%M%SZ}-{installation}.tar"
        if not path.exists():
            return now.isoformat(timespec="seconds"), path
        time.sleep(0.1)


def installed(chosen: Settings) -> dict[str, str]:
    """Versions of what decides about the schemas.

    Args:
        chosen: The stack's settings.
    """
    known = {}
    migrated = [one.distribution for one in applications(chosen) if one.distribution]
    for name in ("dagma", *migrated):
        with contextlib.suppress(PackageNotFoundError):
            known[name] = version(name)
    return known


def _databases(chosen: Settings, writer: Writer, spool: Path, say: Say) -> dict[str, Any]:
    """Dump the databases; what the manifest says of the cluster."""
    with connected(chosen, "postgres") as link, link.cursor() as cursor:
        cursor.execute("SELECT system_identifier FROM pg_control_system()")
        [(identifier,)] = cursor.fetchall()
        cursor.execute("SELECT datname FROM pg_database WHERE NOT datistemplate")
        present = {name for (name,) in cursor.fetchall()} - {"postgres"}
        prepared = migrations.remembered(cursor)
        major = str(link.server_version // 10000)
    for application in applications(chosen):
        if application.database in present:
            present.remove(application.database)
            _dump(chosen, application, writer, spool, say)
    for foreign in sorted(present):
        say(f"Not in the backup: the database {foreign!r}, which is not of the stack.")
    versions = installed(chosen) | {"postgresql": major}
    return {"installation": str(identifier), "versions": versions, "prepared": prepared}


def _dump(
    chosen: Settings, application: Application, writer: Writer, spool: Path, say: Say
) -> None:
    with tempfile.TemporaryFile(dir=spool) as file:
        dumps.write(chosen, application, file)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        writer.add(f"databases/{application.name}.dump", file, size)
    say(f"Dumped the database {application.database}: {decimal(size)}.")


def _tree(writer: Writer, part: str, tree: Path, spool: Path, say: Say, what: str) -> None:
    """Copy the files of a directory as they are now; those that vanish meanwhile are left out."""
    count = total = left_out = 0
    for path in _files(tree):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            left_out += 1
            continue
        with tempfile.SpooledTemporaryFile(max_size=8 * CHUNK, dir=str(spool)) as file:
            try:
                _copy(path, file, spool)
            except FileNotFoundError:
                continue
            size = file.tell()
            file.seek(0)
            writer.add(f"{part}/{path.relative_to(tree).as_posix()}", file, size)
        count, total = count + 1, total + size
    if count or left_out:
        say(f"Copied {what}: {count} files, {decimal(total)}.")
    if left_out:
        say(f"Left out {left_out} links and special files of {tree}.")


def _files(tree: Path) -> Iterator[Path]:
    """What is to be copied: not Dagster's files that Dagma writes, nor what SQLite keeps beside."""

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for folder, folders, names in tree.walk(on_error=fail):
        folders.sort()
        for name in sorted([*names, *(one for one in folders if (folder / one).is_symlink())]):
            path = folder / name
            beside = [name.removesuffix(end) for end in _SQLITE_BESIDE if name.endswith(end)]
            if not unedited(path) and not any(_is_sqlite(folder / main) for main in beside):
                yield path


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _copy(path: Path, target: IO[bytes], spool: Path) -> None:
    """Copy a file; a SQLite database, in which someone may be writing, by SQLite itself."""
    if not _is_sqlite(path):
        with path.open("rb") as source:
            shutil.copyfileobj(source, target, CHUNK)
        return
    with tempfile.NamedTemporaryFile(prefix=TEMPORARY, dir=spool) as copy:
        try:
            uri = f"file:{urllib.parse.quote(os.fsencode(path))}?mode=ro"
            with (
                contextlib.closing(sqlite3.connect(uri, uri=True)) as source,
                contextlib.closing(sqlite3.connect(copy.name)) as into,
            ):
                source.backup(into)
        except sqlite3.Error as error:
            raise BackupError(f"{path} cannot be copied: SQLite says {error}.") from error
        shutil.copyfileobj(copy, target, CHUNK)
