"""PostgreSQL roles and databases: one of each per application, closed to the others.

`python -m dagma.databases NAME...` prepares them for containers: on the server that libpq's variables
name (PGHOST, PGUSER: a superuser), role and database of one name each. Passwords are made at the
first start and kept in the file PGPASSFILE, from which every client of libpq reads them. It ends
when DAGMA_POSTGRES_URL, which is one of these databases, answers. The local stack does the same in
`dagma.stack.init`.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import encrypt_password

from dagma.errors import DagmaError, DatabaseError
from dagma.private import generate, pgpass_line, write_private

#: Seconds to wait for PostgreSQL; replaying its log after a crash can take most of it.
PATIENCE = 120.0
#: Seconds between two attempts to connect.
PAUSE = 0.03
#: The same while a service waits, which may be for hours.
LONG_PAUSE = 0.5


@contextmanager
def connected(
    address: str = "",
    patience: float = PATIENCE,
    **parameters: Any,  # noqa: ANN401 - libpq's, of several types
) -> Iterator[Connection]:
    """A connection in which each statement commits by itself.

    Args:
        address: A URL of libpq's, or nothing.
        patience: Seconds after which a server that does not answer is given up.
        parameters: libpq's connection parameters; its environment variables hold for the others.

    Raises:
        DatabaseError: PostgreSQL did not answer in time.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            link = psycopg2.connect(address, **{"connect_timeout": 5, **parameters})
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


def wait_for(address: str) -> None:
    """Return when a database answers, however long that takes.

    A service that ended instead would have used up its restarts when the database is back.

    Args:
        address: SQLAlchemy's URL of the database, with psycopg2 as its driver.

    Raises:
        DatabaseError: It refuses the role or its password.
    """
    told = False
    while True:
        try:
            psycopg2.connect(address.replace("+psycopg2", "", 1), connect_timeout=5).close()
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error):
                raise DatabaseError(f"PostgreSQL cannot be used: {str(error).strip()}") from error
            if not told:
                print(f"Waiting for PostgreSQL: {str(error).strip()}", flush=True)
                told = True
            time.sleep(LONG_PAUSE)
        else:
            return


def ensure_role(link: Connection, name: str, password: str) -> None:
    """Create a role if need be and give it its password, which leaves this process hashed."""
    hashed = encrypt_password(password, name, link, "scram-sha-256")
    with link.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        cursor.execute(
            sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                sql.SQL(verb), sql.Identifier(name), sql.Literal(hashed)
            )
        )
    if verb == "CREATE":
        print(f"Created the role {name}.", flush=True)


def ensure_database(link: Connection, name: str, owner: str) -> bool:
    """Create a database if need be, closed to other roles; whether it is new to its owner."""
    names = {"db": sql.Identifier(name), "role": sql.Identifier(owner)}
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (name,)
        )
        row = cursor.fetchone()
        if row is None:
            cursor.execute(sql.SQL("CREATE DATABASE {db} OWNER {role}").format(**names))
            cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {db} FROM PUBLIC").format(**names))
            print(f"Created the database {name}.", flush=True)
        elif row[0] != owner:
            cursor.execute(sql.SQL("ALTER DATABASE {db} OWNER TO {role}").format(**names))
            return True
    return row is None


def kept_passwords(passfile: Path, names: list[str]) -> dict[str, str]:
    """The passwords of some roles as `passfile` has them; those it lacks are made and added."""
    lines = passfile.read_text(encoding="utf-8").splitlines() if passfile.exists() else []
    known = {role: password for _, _, _, role, password in (line.split(":") for line in lines)}
    new = {name: generate() for name in names if name not in known}
    if new:
        whole = known | new
        write_private(passfile, "".join(pgpass_line(*entry) for entry in whole.items()))
    return {name: (known | new)[name] for name in names}


def prepare(names: list[str], passfile: Path) -> None:
    """Create or update a role and a database of each name.

    Raises:
        DatabaseError: PostgreSQL does not answer.
        psycopg2.Error: It went away, or the user may not do this.
    """
    passwords = kept_passwords(passfile, names)
    with connected(dbname="postgres") as link:
        for name, password in passwords.items():
            ensure_role(link, name, password)
            ensure_database(link, name, name)


def main(names: list[str]) -> None:
    """Prepare the databases, again when PostgreSQL restarts meanwhile, and wait for its address.

    PostgreSQL's own image ends its first start with a restart; before it there is a socket only.
    """
    if missing := [name for name in ("PGPASSFILE", "DAGMA_POSTGRES_URL") if name not in os.environ]:
        sys.exit(f"dagma: {missing[0]} is not set: docs/deploy.md says what it is.")
    passfile = Path(os.environ["PGPASSFILE"])
    try:
        try:
            prepare(names, passfile)
        except psycopg2.OperationalError:
            prepare(names, passfile)
        with connected(os.environ["DAGMA_POSTGRES_URL"].replace("+psycopg2", "", 1)):
            pass
    except (DagmaError, psycopg2.Error, OSError) as error:
        sys.exit(f"dagma: {str(error).strip()}")


if __name__ == "__main__":
    main(sys.argv[1:])
