"""Prepare the databases: roles, databases and the schemas of Dagster and MLflow.

Runs once per start, before the servers, so that never two of them change a schema at one time. What
is done is remembered in the table `dagma.prepared` of the database `postgres`; when the installed
versions are those remembered, this takes a fraction of a second.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extensions import encrypt_password

from dagma.errors import DagmaError, DatabaseError
from dagma.stack import environment, passwords, settings
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings

#: Seconds to wait for PostgreSQL; replaying its log after a crash can take most of it.
PATIENCE = 120.0
#: Seconds between two attempts to connect.
PAUSE = 0.03


@dataclass(frozen=True)
class Application:
    """One owner of a database.

    Attributes:
        name: Its name here, and of its password file.
        distribution: The Python distribution whose version decides about migrations.
        role: Its PostgreSQL role.
        database: Its database.
        migrate: The command that brings its schema to the installed version.
    """

    name: str
    distribution: str
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
    return [dagster, mlflow] if "mlflow" in services else [dagster]


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
            known = _remembered(cursor)
            due = []
            for application in applications(chosen, services):
                _role(cursor, application, passwords.read(layout, application.name), admin)
                created = _database(cursor, application)
                wanted = _wanted(application)
                if created or known.get(application.name) != wanted:
                    due.append(application)
        _own_tables(chosen, password, due)
        migrate(due)
        with admin.cursor() as cursor:
            _remember(cursor, due)
    if not due:
        print("Databases are up to date.", flush=True)


@contextmanager
def connected(chosen: Settings, password: str, database: str) -> Iterator[Connection]:
    """A connection of the superuser, in which each statement commits by itself.

    Raises:
        DatabaseError: PostgreSQL did not answer within `PATIENCE` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            link = psycopg2.connect(
                host="127.0.0.1",
                port=chosen.postgres_port,
                user="postgres",
                password=password,
                dbname=database,
                connect_timeout=5,
            )
            break
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error) or time.monotonic() > deadline:
                raise DatabaseError(f"PostgreSQL cannot be used: {str(error).strip()}") from error
            time.sleep(PAUSE)
    link.autocommit = True
    try:
        yield link
    finally:
        link.close()


def _remembered(cursor: Cursor) -> dict[str, str]:
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
    return f"{version(application.distribution)} {application.database}"


def _remember(cursor: Cursor, done: list[Application]) -> None:
    for application in done:
        cursor.execute(
            "INSERT INTO dagma.prepared (application, version) VALUES (%s, %s)"
            " ON CONFLICT (application) DO UPDATE SET version = excluded.version, at = now()",
            (application.name, _wanted(application)),
        )


def _role(cursor: Cursor, application: Application, password: str, link: Connection) -> None:
    """Create the role if need be and give it its password, which leaves this process hashed."""
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (application.role,))
    verb = "ALTER" if cursor.fetchone() else "CREATE"
    hashed = encrypt_password(password, application.role, link, "scram-sha-256")
    cursor.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL(verb), sql.Identifier(application.role), sql.Literal(hashed)
        )
    )
    if verb == "CREATE":
        print(f"Created the role {application.role}.", flush=True)


def _database(cursor: Cursor, application: Application) -> bool:
    """Create the database if need be, closed to other roles; whether that was so."""
    names = {"db": sql.Identifier(application.database), "role": sql.Identifier(application.role)}
    cursor.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s",
        (application.database,),
    )
    row = cursor.fetchone()
    if row is None:
        cursor.execute(sql.SQL("CREATE DATABASE {db} OWNER {role}").format(**names))
        cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {db} FROM PUBLIC").format(**names))
        print(f"Created the database {application.database}.", flush=True)
    elif row[0] != application.role:
        cursor.execute(sql.SQL("ALTER DATABASE {db} OWNER TO {role}").format(**names))
        return True
    return row is None


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
    }
    failed = [application.name for application, process in started.items() if process.wait() != 0]
    if failed:
        raise DatabaseError(f"The schema of {' and '.join(failed)} could not be prepared.")
    for application in due:
        print(f"Prepared the schema of {application.name} for {_wanted(application)}.", flush=True)


if __name__ == "__main__":
    main()
