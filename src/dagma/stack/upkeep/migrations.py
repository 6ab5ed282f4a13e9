"""Bring the schemas of the applications to the installed versions, without loss.

A database that holds a schema is dumped first. While its migration runs, a row of the table
`dagma.migrating` names the dump. The row goes in the transaction that remembers the new version, or
in the one that gives the database's name to what was loaded from the dump. So a start that finds
one finds a migration that was killed, and what to put back.
"""

import itertools
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from dagma.databases import ensure_database
from dagma.errors import DatabaseError, StackError
from dagma.stack.applications import connected
from dagma.stack.layout import Layout
from dagma.stack.service import Application
from dagma.stack.settings import Settings
from dagma.stack.topology import UPGRADE
from dagma.stack.upkeep import dumps

#: Lines of a failed migration's output that go with the error.
TAIL = 12
#: Milliseconds for sessions on a database to end before it is replaced.
ENDING = 10_000
#: Names of databases that stand for an application's own while that is put back.
_FRESH, _FAILED = "dagma_restoring_{}", "dagma_failed_{}"


@dataclass(frozen=True)
class Migration:
    """What is to be done for one application.

    Attributes:
        application: Whose database.
        earlier: The version that prepared it.
        dump: Its content of before; None where there was no schema.
    """

    application: Application
    earlier: str = ""
    dump: Path | None = None


def remembered(cursor: Cursor) -> dict[str, str]:
    """What the table `dagma.prepared` holds, application -> version; tables made when missing."""
    cursor.execute("SELECT to_regclass('dagma.migrating')")
    row = cursor.fetchone()
    if row is None or row[0] is None:
        cursor.execute(
            "CREATE SCHEMA IF NOT EXISTS dagma;"
            " CREATE TABLE IF NOT EXISTS dagma.prepared (application text PRIMARY KEY,"
            " version text NOT NULL, at timestamptz NOT NULL DEFAULT now());"
            " CREATE TABLE dagma.migrating (application text PRIMARY KEY,"
            " database text NOT NULL, dump text NOT NULL, at timestamptz NOT NULL DEFAULT now())"
        )
    cursor.execute("SELECT application, version FROM dagma.prepared")
    return dict(cursor.fetchall())


def remember(cursor: Cursor, name: str, prepared: str) -> None:
    """The database of an application is prepared: one request, hence one transaction."""
    cursor.execute(
        "INSERT INTO dagma.prepared (application, version) VALUES (%s, %s)"
        " ON CONFLICT (application) DO UPDATE SET version = excluded.version, at = now();"
        " DELETE FROM dagma.migrating WHERE application = %s",
        (name, prepared, name),
    )


def earlier_version(application: Application, known: dict[str, str]) -> str:
    """The version that prepared the database, as far as it is remembered."""
    release, _, database = known.get(application.name, "").partition(" ")
    return release if database == application.database else "unknown"


def with_schema(chosen: Settings, cursor: Cursor, changed: list[Application]) -> list[Application]:
    """Those whose database holds a schema, which the installed version knows.

    Not versions are compared but Alembic's revisions, as the migrations themselves do: an older
    patch release with the same schema may start, whatever the versions are called.

    Raises:
        DatabaseError: A schema is of a newer version.
    """
    cursor.execute("SELECT datname FROM pg_database")
    present = {name for (name,) in cursor.fetchall()}
    held, refused = [], []
    for application in changed:
        if not application.scripts or application.database not in present:
            continue
        if revisions := _revisions(chosen, application):
            held.append(application)
            if not revisions <= _known_revisions(application):
                refused.append(application)
    if refused:
        known = remembered(cursor)
        raise DatabaseError(" ".join(_refusal(application, known) for application in refused))
    return held


def _refusal(application: Application, known: dict[str, str]) -> str:
    name, earlier = application.name, earlier_version(application, known)
    return (
        f"{name} {earlier} prepared the database {application.database}, and {name} "
        f"{application.installed}, which is installed, does not know its schema: install {name} "
        f"{earlier} or a newer version, or `dagma restore` a backup of before the upgrade."
    )


def _revisions(chosen: Settings, application: Application) -> set[str]:
    with connected(chosen, application.database) as link, link.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.alembic_version')")
        if cursor.fetchone() == (None,):
            return set()
        cursor.execute("SELECT version_num FROM public.alembic_version")
        return {revision for (revision,) in cursor.fetchall()}


def _known_revisions(application: Application) -> set[str]:
    from alembic.config import Config  # this and the scripts' own imports take seconds
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", application.scripts)
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return {script.revision for script in scripts}


def refuse_in_use(chosen: Settings, wanted: list[Application]) -> None:
    """Refuse to touch a database while a server of the stack works with it.

    Its code may be older than the schema would be, and what it writes during a migration that is
    killed would be lost.

    Raises:
        DatabaseError: A service that uses one runs.
    """
    if not wanted:
        return
    from dagma.stack.supervisor import Supervisor  # for those who migrate only

    try:
        found = Supervisor(Layout.of(chosen).control_socket).processes()
    except StackError:  # none runs
        return
    for application in wanted:
        running = [n for n in application.processes if n in found and found[n].pid is not None]
        if running:
            raise DatabaseError(
                f"The database of {application.name} has to be migrated for version "
                f"{application.installed}, while {', '.join(running)} run: "
                "`dagma down`, then `dagma up`."
            )


def put_back_unfinished(
    chosen: Settings, admin: Connection, wanted: list[Application]
) -> dict[Application, Path]:
    """Put back the databases whose migration was killed.

    Returns:
        The dumps, by application: they are the databases as they are now.

    Raises:
        DatabaseError: A dump is gone, and nothing was touched; or it cannot be loaded.
    """
    with admin.cursor() as cursor:
        cursor.execute("SELECT application, database, dump FROM dagma.migrating")
        marks = {name: (database, Path(dump)) for name, database, dump in cursor.fetchall()}
        unfinished = [application for application in wanted if application.name in marks]
        for application in unfinished:
            database, dump = marks[application.name]
            if not dump.is_file():
                raise DatabaseError(
                    f"A migration of {application.name} was ended in the middle, and {dump}, the "
                    f"dump of the database {database} of before, is not there: bring it back, or "
                    "`dagma restore` a backup."
                )
        refuse_in_use(chosen, unfinished)
        _sweep(cursor, wanted)
    for application in unfinished:
        database, dump = marks[application.name]
        _say(f"a migration of {application.name} was ended in the middle.")
        put_back(chosen, admin, application, database, dump)
        _say(f"the database {database} is as it was before, from {dump}.")
    return {a: marks[a.name][1] for a in unfinished if marks[a.name][0] == a.database}


def _sweep(cursor: Cursor, wanted: list[Application]) -> None:
    """Drop what a killed `put_back` has left."""
    names = [name.format(a.name) for a in wanted for name in (_FRESH, _FAILED)]
    cursor.execute("SELECT datname FROM pg_database WHERE datname = ANY(%s)", (names,))
    for (name,) in cursor.fetchall():
        _drop(cursor, name)


def _drop(cursor: Cursor, database: str) -> None:
    cursor.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
    )


def put_back(
    chosen: Settings, admin: Connection, application: Application, database: str, dump: Path
) -> None:
    """Replace a database by what a dump holds; killed at any moment, one of the two is there.

    Raises:
        DatabaseError: The dump cannot be loaded.
        psycopg2.Error: PostgreSQL cannot do it, e.g. because the disk is full.
    """
    fresh, failed = _FRESH.format(application.name), _FAILED.format(application.name)
    names = {
        "live": sql.Identifier(database),
        "fresh": sql.Identifier(fresh),
        "failed": sql.Identifier(failed),
        "application": sql.Literal(application.name),
    }
    with admin.cursor() as cursor:
        _drop(cursor, fresh)
        ensure_database(admin, fresh, application.role)
        dumps.load(chosen, application.role, fresh, dump)
        # A migration whose parent was killed may still be at work.
        cursor.execute(sql.SQL("ALTER DATABASE {live} ALLOW_CONNECTIONS false").format(**names))
        cursor.execute(
            "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = %s",
            (ENDING, database),
        )
        cursor.execute(  # one request, hence one transaction
            sql.SQL(
                "ALTER DATABASE {live} RENAME TO {failed};"
                " ALTER DATABASE {fresh} RENAME TO {live};"
                " DELETE FROM dagma.migrating WHERE application = {application}"
            ).format(**names)
        )
        _drop(cursor, failed)


def dump(chosen: Settings, cursor: Cursor, application: Application, earlier: str) -> Path:
    """Dump a database that holds a schema; the file.

    Raises:
        DatabaseError: It cannot be dumped.
    """
    cursor.execute("SELECT system_identifier FROM pg_control_system()")
    [(identifier,)] = cursor.fetchall()
    name = application.name
    _say(f"{name} {application.installed} is installed, its database is of {earlier}: dumping it.")
    file = dumps.keep(chosen, application, earlier, str(identifier))
    _say(f"the database of {name} {earlier} is kept in {file}.")
    return file


def migrate(chosen: Settings, admin: Connection, due: list[Migration]) -> None:
    """Run the migrations of several applications side by side, each for itself.

    Raises:
        DatabaseError: Some failed, with the end of what they said; their databases are as before.
    """
    with admin.cursor() as cursor:
        for migration in due:
            if migration.dump:
                one = migration.application
                cursor.execute(
                    "INSERT INTO dagma.migrating (application, database, dump) VALUES (%s, %s, %s)",
                    (one.name, one.database, str(migration.dump)),
                )
        started = [(migration, *_start(migration.application)) for migration in due]
        problems = []
        for migration, process, said in started:
            with said:
                code = process.wait()
                said.seek(0)
                text = said.read().decode(errors="replace")
            sys.stderr.write(text)  # into the log
            if code == 0:
                remember(cursor, migration.application.name, migration.application.prepared)
                _report(migration)
            else:
                problems.append(_failure(chosen, admin, migration) + _end_of(text))
    if problems:
        raise DatabaseError("\n".join(problems))


def _start(application: Application) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by who reads it
    process = subprocess.Popen(
        application.migrate, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
    )
    return process, said


def _report(migration: Migration) -> None:
    application = migration.application
    if migration.dump:
        _say(f"migrated {application.name} from {migration.earlier} to {application.installed}.")
    else:
        print(f"Prepared the schema of {application.name} {application.installed}.", flush=True)


def _failure(chosen: Settings, admin: Connection, migration: Migration) -> str:
    """Put the database back; what to say about it."""
    application, dump = migration.application, migration.dump
    name = application.name
    if dump is None:
        return f"The schema of {name} could not be prepared; it said last:"
    failed = f"The migration of {name} from {migration.earlier} to {application.installed} failed"
    try:
        put_back(chosen, admin, application, application.database, dump)
    except (DatabaseError, psycopg2.Error) as error:
        return (
            f"{failed}, and its database could not be put back yet: {str(error).strip()} The next "
            f"`dagma up` tries it again, from {dump}. The migration said last:"
        )
    return (
        f"{failed}; its database is as it was before. Install {name} {migration.earlier} again, "
        "or remove the cause; the migration said last:"
    )


def _end_of(text: str) -> str:
    """The last lines; of a Python traceback what stands below it, which begins with the error."""
    lines = [line for line in text.splitlines() if line.strip()]
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if frames:
        below = itertools.dropwhile(lambda line: line.startswith("    "), lines[frames[-1] + 1 :])
        shown = list(below)[:TAIL]
    else:
        shown = lines[-TAIL:]
    return "".join(f"\n  | {line}" for line in shown) or " nothing."


def _say(line: str) -> None:
    print(f"{UPGRADE}{line}", flush=True)
