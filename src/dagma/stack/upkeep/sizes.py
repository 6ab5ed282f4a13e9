"""How large the state has become, part by part, for `dagma status`.

Bounded in time: directories are walked for `PATIENCE` seconds in all, and what was not reached by then
is said. Nothing of Dagster is imported.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from dagma.errors import DagmaError
from dagma.stack import services
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings

#: Seconds for walking directories, and for PostgreSQL to connect and to answer.
PATIENCE = 1.0
DATABASE_PATIENCE = 2

#: What the user reads, by the name in `dagma status --json`, in the order of the line; of the
#: databases, which come first, it is their name.
LABELS = {
    "wal": "write-ahead log",
    "cluster": "databases (PostgreSQL does not answer)",
    **dict(service.measured for service in services.ALL if service.measured),
    "logs": "logs of services",
}
_DATABASE = "database_"


@dataclass(frozen=True)
class Sizes:
    """What the state takes.

    Attributes:
        parts: Bytes by the names of `LABELS`, and of the databases.
        complete: Whether everything was reached in time, and readable.
    """

    parts: dict[str, int]
    complete: bool

    def __str__(self) -> str:
        """One line for the user."""
        parts = [f"{_label(name)} {decimal(size)}" for name, size in self.parts.items()]
        bound = "" if self.complete else "more than "
        return f"state {bound}{decimal(sum(self.parts.values()))}: {', '.join(parts)}"


def measure(settings: Settings, databases: bool) -> Sizes:
    """The sizes now.

    Args:
        settings: The settings.
        databases: Whether PostgreSQL is healthy; otherwise its directory is measured.
    """
    layout, walk = Layout.of(settings), _Walk(time.monotonic() + PATIENCE)
    parts = _databases(settings) if databases else {}
    # The small ones first, so that only the large ones can be cut short.
    files = {"logs": walk.size(layout.logs)}
    for service in reversed(services.ALL):
        if service.measured:
            files[service.measured[0]] = sum(map(walk.size, service.sized(settings)))
    if not parts:
        parts["cluster"] = walk.size(layout.cluster)
    return Sizes(parts | {n: files[n] for n in LABELS if n in files}, walk.complete)


def _label(name: str) -> str:
    """Of a part; only the first database is called one."""
    database = name.removeprefix(_DATABASE)
    return LABELS.get(name, f"database {database}" if database == "dagster" else database)


def _databases(settings: Settings) -> dict[str, int]:
    """Bytes of the stack's databases; none when PostgreSQL does not answer in time."""
    import psycopg2

    from dagma.stack import applications

    names = {one.database: one.name for one in applications.applications(settings)}
    soon: dict[str, Any] = {
        "patience": 0.0,
        "connect_timeout": DATABASE_PATIENCE,
        "options": f"-c statement_timeout={DATABASE_PATIENCE}s",
    }
    try:
        with (
            applications.connected(settings, "postgres", **soon) as link,
            link.cursor() as cursor,
        ):
            cursor.execute(
                "SELECT datname, pg_database_size(datname) FROM pg_database"
                " WHERE datname = ANY(%s)",
                (list(names),),
            )
            sizes = {names[database]: int(size) for database, size in cursor.fetchall()}
            cursor.execute("SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()")
            [(wal,)] = cursor.fetchall()
    except (psycopg2.Error, DagmaError, OSError):
        return {}
    found = {f"{_DATABASE}{name}": sizes[name] for name in names.values() if name in sizes}
    return found | {"wal": int(wal)}


class _Walk:
    """Adds up files until a time of the monotonic clock."""

    def __init__(self, deadline: float) -> None:
        self.complete = True
        self._deadline = deadline

    def size(self, tree: Path) -> int:
        """Bytes of the files in a directory, what they only reserve aside; links are not followed."""
        total, waiting = 0, [tree]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        if time.monotonic() > self._deadline:
                            self.complete = False
                            return total
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(Path(entry.path))
                        else:
                            with contextlib.suppress(FileNotFoundError):
                                total += _size(entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue  # it is not there yet, or no longer
            except OSError:
                self.complete = False
        return total


def _size(file: os.stat_result) -> int:
    """What a file takes; the blocks that POSIX counts are of 512 bytes."""
    return min(file.st_size, file.st_blocks * 512)
