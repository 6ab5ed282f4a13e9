"""Prepare the databases: roles, databases and the schemas of Dagster and MLflow.

The database `analytics` is for tables of assets and dbt; it begins empty and has no schema of ours.

Runs once per start, before the servers, so that never two of them change a schema at one time. What
is done is remembered in the table `dagma.prepared` of the database `postgres`; when the installed
versions are those remembered, this takes a fraction of a second.
"""

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from dagma import databases
from dagma.databases import ensure_database, ensure_role
from dagma.errors import DagmaError, DatabaseError
from dagma.stack import environment, passwords, settings
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings


@dataclass(frozen=True)
class Application:
    """One owner of a database.

    Attributes:
        name: Its name here, and of its password file.
        distribution: The Python distribution whose version decides about migrations; None where
            there are none.
        role: Its PostgreSQL role.
        database: Its database.
        migrate: The command that brings its schema to the installed version.
    """

    name: str
    distribution: str | None
    role: str
    database: str
    migrate: tuple[str, ...]


def applications(chosen: Settings, services: list[str]) -> list[Application]:
    """The applications whose databases these services need."""
    uri = environment.database_url(chosen, "mlflow", "mlflow")
    mlflow = Application("mlflow", "mlflow", "mlflow", "mlflow", ("mlflow", "db", "upgrade", uri))
    dagster = Application(
        "dagster",
        "dagster",
        chosen.postgres_user,
        chosen.postgres_db,
        ("dagster", "instance", "migrate"),
    )
    analytics = Application("analytics", None, "analytics", "analytics", ())
    return [dagster, analytics, mlflow] if "mlflow" in services else [dagster, analytics]


def main() -> None:
    """Entry point of the process `init`."""
    try:
        chosen = settings.load(os.environ).settings
        services = os.environ.get("DAGMA_SERVICES", "mlflow").split(",")
        prepare(chosen, services)
    except (DagmaError, psycopg2.Error) as error:
        sys.exit(f"dagma: {str(error).strip()}")


def prepare(chosen: Settings, services: list[str]) -> None:
    """Bring roles, databases and schemas to what the installed versions need.

    Raises:
        DatabaseError: PostgreSQL does not answer, or a migration failed.
    """
    layout = Layout.of(chosen)
    password = passwords.read(layout, passwords.SUPERUSER)
    with connected(chosen, password, "postgres") as admin:
        with admin.cursor() as cursor:
            known = remembered(cursor)
            due = []
            for application in applications(chosen, services):
                ensure_role(admin, application.role, passwords.read(layout, application.name))
                created = ensure_database(admin, application.database, application.role)
                wanted = _wanted(application)
                if created or known.get(application.name) != wanted:
                    due.append(application)
        _own_tables(chosen, password, due)
        migrate(due)
        with admin.cursor() as cursor:
            _remember(cursor, {application.name: _wanted(application) for application in due})
    if not due:
        print("Databases are up to date.", flush=True)


def create_empty(chosen: Settings, wanted: list[Application], prepared: dict[str, str]) -> None:
    """Create roles and empty databases in a new cluster, for a restore to fill.

    Args:
        chosen: The settings.
        wanted: Whose databases.
        prepared: What the table `dagma.prepared` shall hold, application -> version.
    """
    layout = Layout.of(chosen)
    password = passwords.read(layout, passwords.SUPERUSER)
    with connected(chosen, password, "postgres") as admin, admin.cursor() as cursor:
        remembered(cursor)
        for application in wanted:
            ensure_role(admin, application.role, passwords.read(layout, application.name))
            ensure_database(admin, application.database, application.role)
        _remember(cursor, prepared)


def connected(chosen: Settings, password: str, database: str) -> AbstractContextManager[Connection]:
    """A connection of the superuser, in which each statement commits by itself.

    Raises:
        DatabaseError: PostgreSQL does not answer.
    """
    return databases.connected(
        host="127.0.0.1",
        port=chosen.postgres_port,
        user="postgres",
        password=password,
        dbname=database,
    )


def remembered(cursor: Cursor) -> dict[str, str]:
    """What the table `dagma.prepared` holds, application -> version; made when missing."""
    cursor.execute("SELECT to_regclass('dagma.prepared')")
    row = cursor.fetchone()
    if row is None or row[0] is None:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS dagma")
        cursor.execute(
            "CREATE TABLE dagma.prepared (application text PRIMARY KEY, version text NOT NULL,"
            " at timestamptz NOT NULL DEFAULT now())"
        )
    cursor.execute("SELECT application, version FROM dagma.prepared")
    return dict(cursor.fetchall())


def _wanted(application: Application) -> str:
    """What has to be remembered for the application to need nothing."""
    release = version(application.distribution) if application.distribution else "-"
    return f"{release} {application.database}"


def _remember(cursor: Cursor, done: dict[str, str]) -> None:
    for name, prepared in done.items():
        cursor.execute(
            "INSERT INTO dagma.prepared (application, version) VALUES (%s, %s)"
            " ON CONFLICT (application) DO UPDATE SET version = excluded.version, at = now()",
            (name, prepared),
        )


def _own_tables(chosen: Settings, password: str, due: list[Application]) -> None:
    """Tables of a role that was renamed in the settings pass to the new role."""
    for application in due:
        with connected(chosen, password, application.database) as link, link.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
                " AND tableowner NOT IN ('postgres', %s)",
                (application.role,),
            )
            for (owner,) in cursor.fetchall():
                cursor.execute(
                    sql.SQL("REASSIGN OWNED BY {} TO {}").format(
                        sql.Identifier(owner), sql.Identifier(application.role)
                    )
                )


def migrate(due: list[Application]) -> None:
    """Run the migrations of several applications side by side.

    Raises:
        DatabaseError: One failed; what it said is in the log before this message.
    """
    started = {
        application: subprocess.Popen(
            application.migrate, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        for application in due
        if application.migrate
    }
    failed = [application.name for application, process in started.items() if process.wait() != 0]
    if failed:
        raise DatabaseError(f"The schema of {' and '.join(failed)} could not be prepared.")
    for application in started:
        print(f"Prepared the schema of {application.name} for {_wanted(application)}.", flush=True)


if __name__ == "__main__":
    main()
