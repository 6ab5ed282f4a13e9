"""Passwords of the PostgreSQL roles: made once, kept in files of mode 0600, handed out by libpq.

No password is ever in an environment variable of a process, in a command line, in a configuration
file or in a log: clients name libpq's password file (`passfile`) in their connection URL.
"""

import os
import secrets
import string
from pathlib import Path

from dagma.stack.layout import Layout
from dagma.stack.settings import Settings

#: Without characters that a shell, a URL or a password file would have to escape.
_ALPHABET = string.ascii_letters + string.digits + "_-"
_LENGTH = 32

#: Files in the secrets directory, one per role.
SUPERUSER, DAGSTER, MLFLOW = "postgres", "dagster", "mlflow"


def ensure(layout: Layout, settings: Settings) -> None:
    """Make what is missing; a password that the user gave replaces the kept one."""
    layout.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    layout.secrets.chmod(0o700)
    for name in (SUPERUSER, DAGSTER, MLFLOW):
        if not (layout.secrets / name).exists():
            write_private(layout.secrets / name, generate())
    if settings.postgres_password and settings.postgres_password != read(layout, DAGSTER):
        write_private(layout.secrets / DAGSTER, settings.postgres_password)
    _write_pgpass(layout, settings)


def generate() -> str:
    """A new password of 192 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def read(layout: Layout, name: str) -> str:
    """The password in one of the files."""
    return (layout.secrets / name).read_text(encoding="utf-8")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _write_pgpass(layout: Layout, settings: Settings) -> None:
    roles = {settings.postgres_user: DAGSTER, "mlflow": MLFLOW}
    lines = [
        f"*:{settings.postgres_port}:*:{role}:{_escaped(read(layout, name))}\n"
        for role, name in roles.items()
    ]
    write_private(layout.pgpass, "".join(lines))


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")
