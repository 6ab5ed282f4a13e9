"""Prepare the databases: roles, databases and the schemas of the applications.

Runs once per start, before the servers, so that never two of them change a schema at one time. What
is done is remembered in the table `dagma.prepared` of the database `postgres`; when the installed
versions are those remembered, this takes a fraction of a second.
"""

import os
import sys

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from dagma.databases import ensure_database, ensure_role
from dagma.errors import DagmaError
from dagma.stack import passwords, settings
from dagma.stack.applications import applications, connected
from dagma.stack.layout import Layout
from dagma.stack.service import Application
from dagma.stack.settings import Settings
from dagma.stack.upkeep import migrations
from dagma.stack.upkeep.migrations import Migration

#: Key of the advisory lock that one `init` holds: another one would take its migration for killed.
_LOCK = 1


def main() -> None:
    """Entry point of the process `init`."""
    try:
        chosen = settings.load(os.environ).settings
        named = os.environ.get("DAGMA_SERVICES")
        prepare(chosen, None if named is None else named.split(","))
    except (DagmaError, psycopg2.Error) as error:
        sys.exit(f"dagma: {str(error).strip()}")


def prepare(chosen: Settings, running: list[str] | None) -> None:
    """Bring roles, databases and schemas to what the installed versions need.

    Raises:
        DatabaseError: PostgreSQL does not answer, a schema is of a newer version, a database that
            has to be migrated is in use or cannot be dumped, or a migration failed.
    """
    wanted = applications(chosen, running)
    with connected(chosen, "postgres") as admin, admin.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        known = migrations.remembered(cursor)
        _ensure_roles(chosen, admin, wanted)
        dumps = migrations.put_back_unfinished(chosen, admin, wanted)
        changed = [one for one in wanted if known.get(one.name) != one.prepared]
        held = migrations.with_schema(chosen, cursor, changed)
        migrations.refuse_in_use(chosen, held)
        created = [one for one in wanted if ensure_database(admin, one.database, one.role)]
        due = [one for one in wanted if one in created or one in changed]
        _own_tables(chosen, due)
        steps = []
        for one in due:
            if one in held:
                earlier = migrations.earlier_version(one, known)
                dump = dumps.get(one) or migrations.dump(chosen, cursor, one, earlier)
                steps.append(Migration(one, earlier, dump))
            elif one.migrate:
                steps.append(Migration(one))
            else:
                migrations.remember(cursor, one.name, one.prepared)
        migrations.migrate(chosen, admin, steps)
    if not due:
        print("Databases are up to date.", flush=True)


def create_empty(chosen: Settings, wanted: list[Application], prepared: dict[str, str]) -> None:
    """Create roles and empty databases in a new cluster, for a restore to fill.

    Args:
        chosen: The settings.
        wanted: Whose databases.
        prepared: What the table `dagma.prepared` shall hold, application -> version.
    """
    with connected(chosen, "postgres") as admin, admin.cursor() as cursor:
        migrations.remembered(cursor)
        _ensure_roles(chosen, admin, wanted)
        for application in wanted:
            ensure_database(admin, application.database, application.role)
        for name, version in prepared.items():
            migrations.remember(cursor, name, version)


def _ensure_roles(chosen: Settings, admin: Connection, wanted: list[Application]) -> None:
    layout = Layout.of(chosen)
    for application in wanted:
        ensure_role(admin, application.role, passwords.read(layout, application.name))


def _own_tables(chosen: Settings, due: list[Application]) -> None:
    """Tables of a role that was renamed in the settings pass to the new role."""
    for application in due:
        with connected(chosen, application.database) as link, link.cursor() as cursor:
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


if __name__ == "__main__":
    main()
