"""Passwords that are made here, and the files that keep them."""

import os
import secrets
import string
from pathlib import Path

#: Without characters that a shell, a URL or a password file would have to escape.
_ALPHABET = string.ascii_letters + string.digits + "_-"
_LENGTH = 32


def generate() -> str:
    """A new password of 192 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


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


def pgpass_line(role: str, password: str, port: int | str = "*") -> str:
    """A line of libpq's password file, for a role on any host."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:{port}:*:{role}:{escaped}\n"
