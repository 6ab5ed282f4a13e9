"""Passwords of the PostgreSQL roles: made once, kept in files of mode 0600, handed out by libpq.

No password is ever in an environment variable of a process, in a command line, in a configuration
file or in a log: clients name libpq's password file (`passfile`) in their connection URL.
"""

from dagma import private
from dagma.private import generate, pgpass_line, write_private
from dagma.stack import services
from dagma.stack.layout import Layout
from dagma.stack.services.postgres import SUPERUSER
from dagma.stack.settings import Settings

#: The file of the role whose password a user may give; there is one per application.
DAGSTER = "dagster"


def ensure(layout: Layout, settings: Settings) -> None:
    """Make what is missing; a password that the user gave replaces the kept one."""
    private.directory(layout.secrets)
    layout.secrets.chmod(0o700)
    for name in (SUPERUSER, *(one.name for one in services.applications(settings))):
        if not (layout.secrets / name).exists():
            write_private(layout.secrets / name, generate())
    if settings.postgres_password and settings.postgres_password != read(layout, DAGSTER):
        write_private(layout.secrets / DAGSTER, settings.postgres_password)
    if not layout.token.exists():
        write_private(layout.token, generate())
    _write_pgpass(layout, settings)


def read(layout: Layout, name: str) -> str:
    """The password in one of the files."""
    return (layout.secrets / name).read_text(encoding="utf-8")


def _write_pgpass(layout: Layout, settings: Settings) -> None:
    lines = [
        pgpass_line(one.role, read(layout, one.name), settings.postgres_port)
        for one in services.applications(settings)
    ]
    write_private(layout.pgpass, "".join(lines))
