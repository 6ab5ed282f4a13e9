"""The owners of the stack's databases, and the connection with which they are prepared."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from psycopg2.extensions import connection as Connection

from dagma import databases
from dagma.stack import environment, passwords
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
        scripts: Alembic's scripts that this command runs, as Alembic's `script_location`.
        services: Who uses the database while the stack runs.
    """

    name: str
    distribution: str | None
    role: str
    database: str
    migrate: tuple[str, ...] = ()
    scripts: str = ""
    services: tuple[str, ...] = ()

    @property
    def installed(self) -> str:
        """The installed version."""
        return version(self.distribution) if self.distribution else "-"

    @property
    def prepared(self) -> str:
        """What has to be remembered for the database to need nothing."""
        return f"{self.installed} {self.database}"


def applications(chosen: Settings, services: list[str]) -> list[Application]:
    """The applications whose databases these services need."""
    uri = environment.database_url(chosen, "mlflow", "mlflow")
    mlflow = Application(
        "mlflow",
        "mlflow",
        "mlflow",
        "mlflow",
        ("mlflow", "db", "upgrade", uri),
        "mlflow:store/db_migrations",
        ("mlflow",),
    )
    dagster = Application(
        "dagster",
        "dagster",
        chosen.postgres_user,
        chosen.postgres_db,
        ("dagster", "instance", "migrate"),
        "dagster:_core/storage/alembic",
        ("user_code", "webserver", "daemon"),
    )
    analytics = Application("analytics", None, "analytics", "analytics")
    return [dagster, analytics, mlflow] if "mlflow" in services else [dagster, analytics]


def connected(
    chosen: Settings,
    database: str,
    **options: Any,  # noqa: ANN401 - of several types
) -> AbstractContextManager[Connection]:
    """A connection of the superuser, in which each statement commits by itself.

    Args:
        chosen: The stack's settings.
        database: One of its databases.
        options: More for `databases.connected`, such as its patience.

    Raises:
        DatabaseError: PostgreSQL does not answer.
    """
    return databases.connected(
        host="127.0.0.1",
        port=chosen.postgres_port,
        user=passwords.SUPERUSER,
        password=passwords.read(Layout.of(chosen), passwords.SUPERUSER),
        dbname=database,
        **options,
    )
