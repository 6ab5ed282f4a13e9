"""Write a backup of the running stack into one file.

The databases come first, each dumped in one snapshot, then the files: so every file that a database
knows of is there, and what was written meanwhile is in the backup or not, but never half of it in a
table. The file has a temporary name until it is complete and on the disk.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
import sqlite3
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError

from rich.filesize import decimal

from dagma.errors import BackupError
from dagma.files import sync
from dagma.lock import alone
from dagma.stack import dumps, migrations, qdrant
from dagma.stack.applications import Application, applications, connected
from dagma.stack.archive import CHUNK, Writer
from dagma.stack.control import Stack
from dagma.stack.dumps import beyond
from dagma.stack.layout import Layout
from dagma.stack.prepare import unedited
from dagma.stack.settings import Settings

#: Told of each step, in one line.
Say = Callable[[str], None]

#: Name of a backup: when, in UTC, and the system identifier of the cluster it is of.
NAME = re.compile(r"dagma-(?P<at>\d{8}T\d{6}Z)-(?P<installation>\d+)\.tar")
#: Of files that are not complete; a backup removes those of killed ones.
TEMPORARY = ".dagma-backup-"
#: Member that holds the snapshot of Qdrant's server.
SNAPSHOT = "qdrant/server/storage.snapshot"
#: Qdrant's API of full snapshots, https://api.qdrant.tech/api-reference/snapshots.
SNAPSHOTS = "/snapshots"
#: Seconds that Qdrant's server may take for a snapshot.
SNAPSHOT_PATIENCE = 3600.0
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
    for inside in (home, *(tree for _, tree, _ in trees(stack.settings))):
        if target.is_relative_to(inside.resolve()):
            raise BackupError(
                f"{directory} is inside {inside}, which is backed up: choose a directory elsewhere."
            )


def trees(settings: Settings) -> list[tuple[str, Path, str]]:
    """The directories of a backup: folder in the archive, path, and what the user calls it.

    Raises:
        BackupError: One of them holds the state directory.
    """
    layout = Layout.of(settings)
    found = [
        ("dagster", layout.dagster(settings), "Dagster's storage and logs"),
        ("mlflow/artifacts", layout.mlflow_artifacts, "MLflow's artifacts"),
        ("qdrant/embedded", layout.qdrant_embedded(settings), "the embedded Qdrant"),
    ]
    for _, path, _ in found:
        if layout.home.resolve().is_relative_to(path.resolve()):
            raise BackupError(
                f"{path} holds DAGMA_HOME and cannot be told apart: move one of them."
            )
    return found


def _write(stack: Stack, directory: Path, say: Say) -> Path:
    descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=directory)
    path = Path(temporary)
    try:
        with os.fdopen(descriptor, "wb") as file:
            writer = Writer(file)
            facts = _databases(stack.settings, writer, directory, say)
            for part, tree, what in trees(stack.settings):
                _tree(writer, part, tree, directory, say, what)
            facts["versions"] |= _server(stack, writer, directory, say)
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


def installed() -> dict[str, str]:
    """Versions of what decides about the schemas."""
    known = {}
    for name in ("dagma", "dagster", "mlflow"):
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
    for application in applications(chosen, ["mlflow"]):
        if application.database in present:
            present.remove(application.database)
            _dump(chosen, application, writer, spool, say)
    for foreign in sorted(present):
        say(f"Not in the backup: the database {foreign!r}, which is not of the stack.")
    versions = installed() | {"postgresql": major}
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


def _server(stack: Stack, writer: Writer, spool: Path, say: Say) -> dict[str, str]:
    """Take a snapshot of all collections of Qdrant's server, where one runs; the server's version."""
    found = stack.supervisor.processes().get("qdrant")
    if found is None or not found.healthy:
        if (stack.layout.qdrant / "storage").exists():
            say("Not in the backup: the vectors of Qdrant's server, which does not run.")
        return {}
    server = qdrant.Server(stack.loaded)
    with tempfile.TemporaryFile(dir=spool) as file:
        try:
            _snapshot(server, file)
            _forget_checksums(stack.layout.qdrant / "snapshots")
        except HTTPError as error:
            hint = f"; does {qdrant.KEY} hold its key?" if error.code in qdrant.REFUSED else "."
            raise BackupError(f"Qdrant's server gives no snapshot: {error}{hint}") from error
        size = file.tell()
        file.seek(0)
        writer.add(SNAPSHOT, file, size)
    say(f"Took a snapshot of Qdrant's server: {decimal(size)}.")
    known = server.version()
    return {"qdrant": known} if known else {}


def _snapshot(server: qdrant.Server, file: IO[bytes]) -> None:
    """Let the server make a snapshot, copy it, and remove it there."""
    with server.ask("POST", SNAPSHOTS, SNAPSHOT_PATIENCE) as answer:
        name = json.load(answer)["result"]["name"]
    path = f"{SNAPSHOTS}/{urllib.parse.quote(name)}"
    try:
        with server.ask("GET", path, SNAPSHOT_PATIENCE) as answer:
            shutil.copyfileobj(answer, file, CHUNK)
    finally:
        server.ask("DELETE", path, SNAPSHOT_PATIENCE).close()


def _forget_checksums(snapshots: Path) -> None:
    """Remove those of the collections' snapshots that the server has put into the one of all."""
    for checksum in snapshots.glob("*/*.snapshot.checksum"):
        if not checksum.with_suffix("").exists():
            checksum.unlink(missing_ok=True)
