"""Passwords of the PostgreSQL roles: made once, kept in files of mode 0600, handed out by libpq.

No password is ever in an environment variable of a process, in a command line, in a configuration
file or in a log: clients name libpq's password file (`passfile`) in their connection URL.
"""

from dagma import private
from dagma.private import generate, pgpass_line, write_private
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings

#: Files in the secrets directory, one per role.
SUPERUSER, DAGSTER, MLFLOW, ANALYTICS = "postgres", "dagster", "mlflow", "analytics"


def ensure(layout: Layout, settings: Settings) -> None:
    """Make what is missing; a password that the user gave replaces the kept one."""
    private.directory(layout.secrets)
    layout.secrets.chmod(0o700)
    for name in (SUPERUSER, DAGSTER, MLFLOW, ANALYTICS):
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
    roles = {settings.postgres_user: DAGSTER, "mlflow": MLFLOW, "analytics": ANALYTICS}
    lines = [
        pgpass_line(role, read(layout, name), settings.postgres_port)
        for role, name in roles.items()
    ]
    write_private(layout.pgpass, "".join(lines))
