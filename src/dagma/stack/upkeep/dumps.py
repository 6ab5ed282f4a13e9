"""Dumps of one database, written and loaded by PostgreSQL's own clients.

They run as the role that owns the database, so nothing in a dump runs as PostgreSQL's superuser.
"""

import datetime
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

from dagma.errors import DatabaseError
from dagma.files import written_whole
from dagma.stack.layout import Layout
from dagma.stack.service import Application
from dagma.stack.settings import Settings

#: Name of a dump of before a migration: when, in UTC, the system identifier of the cluster, whose
#: database, and the version that prepared it.
NAME = re.compile(
    r"dagma-(?P<at>\d{8}T\d{6}Z)-(?P<installation>\d+)-(?P<application>[a-z]+)-(?P<version>.+)\.dump"
)


def write(chosen: Settings, application: Application, file: IO[bytes]) -> None:
    """Dump the database of an application in one snapshot, in pg_dump's custom format.

    Raises:
        DatabaseError: pg_dump is missing or failed.
    """
    _run(chosen, application.role, application.database, ["pg_dump", "--format=custom"], file)


def load(chosen: Settings, role: str, database: str, dump: Path) -> None:
    """Fill an empty database, which the role owns, from a dump.

    Raises:
        DatabaseError: pg_restore is missing or failed.
    """
    options = ["--exit-on-error", "--no-owner", "--no-privileges", str(dump)]
    _run(chosen, role, database, ["pg_restore", *options], None)


def _run(
    chosen: Settings, role: str, database: str, command: list[str], output: IO[bytes] | None
) -> None:
    connection = [
        "--no-password",  # never ask for one: the password file has it
        "--host=127.0.0.1",
        f"--port={chosen.postgres_port}",
        f"--username={role}",
        f"--dbname={database}",
    ]
    try:
        done = subprocess.run(
            [*command, *connection],
            env=_environment(chosen, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise DatabaseError(f"Not on PATH: {command[0]}; it comes with PostgreSQL.") from error
    if done.returncode != 0:
        why = done.stderr.strip() or f"exit code {done.returncode}"
        raise DatabaseError(f"{command[0]} of {database} failed: {why}")


def _environment(chosen: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Libpq's password file, and no settings of a user."""
    own = {name: value for name, value in environ.items() if not name.startswith("PG")}
    own.pop("POSTGRES_PASSWORD", None)
    return own | {"PGPASSFILE": str(Layout.of(chosen).pgpass)}


def keep(chosen: Settings, application: Application, version: str, installation: str) -> Path:
    """Write a dump of before a migration into the directory of backups.

    The newest DAGMA_BACKUPS_KEPT of the application stay.

    Args:
        chosen: The settings.
        application: Whose database.
        version: The version that prepared it.
        installation: System identifier of the cluster.

    Returns:
        The file, of mode 0600.

    Raises:
        DatabaseError: It cannot be written; nothing of it is left.
    """
    directory = Layout.of(chosen).backups(chosen).absolute()
    now = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}"
    about = f"{installation}-{application.name}"
    target = directory / f"dagma-{now}-{about}-{quote(version, safe='')}.dump"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in directory.glob(f".dagma-*-{about}-*.dump.*.tmp"):  # of a killed start
            left.unlink()
        with written_whole(target, mode=0o600) as file:
            write(chosen, application, file)
        for old in beyond(directory, NAME, target, chosen.backups_kept):
            old.unlink()
    except (OSError, DatabaseError) as error:
        raise DatabaseError(
            f"Nothing was migrated, since {application.name}'s database could not be dumped to "
            f"{directory}: {error}"
        ) from error
    return target


def beyond(directory: Path, pattern: re.Pattern[str], newest: Path, kept: int) -> list[Path]:
    """The oldest files of one kind that are more than wanted.

    Args:
        directory: Where they are; files of other installations and applications do not count.
        pattern: Of their names; its groups other than `at` and `version` say what is of one kind.
        newest: The one just written, which is kept whatever the clock says.
        kept: How many stay.
    """

    def kind(path: Path) -> dict[str, str] | None:
        found = pattern.fullmatch(path.name)
        return found and {k: v for k, v in found.groupdict().items() if k not in {"at", "version"}}

    mine = kind(newest)
    own = [path for path in directory.iterdir() if mine and path != newest and kind(path) == mine]
    return sorted(own, key=lambda path: path.name, reverse=True)[kept - 1 :]
