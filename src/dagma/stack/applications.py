"""The owners of the stack's databases, and the connection with which they are prepared."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from psycopg2.extensions import connection as Connection

from dagma import databases
from dagma.stack import passwords, services, topology
from dagma.stack.layout import Layout
from dagma.stack.service import Application
from dagma.stack.services.postgres import SUPERUSER
from dagma.stack.settings import Settings


def applications(chosen: Settings, running: Iterable[str] | None = None) -> list[Application]:
    """The applications whose databases some processes need.

    Args:
        chosen: The stack's settings.
        running: The processes; without them, all.
    """
    found = services.applications(chosen)
    if running is None:
        return found
    among = {*topology.GROUPS["minimal"], *running}
    return [one for one in found if not one.processes or among.intersection(one.processes)]


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
        user=SUPERUSER,
        password=passwords.read(Layout.of(chosen), SUPERUSER),
        dbname=database,
        **options,
    )
