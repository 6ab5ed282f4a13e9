"""Passwords that are made here, and the files that keep them."""

import secrets
import string
from pathlib import Path

from dagma.files import written_whole

#: Without characters that a shell, a URL or a password file would have to escape.
_ALPHABET = string.ascii_letters + string.digits + "_-"
_LENGTH = 32


def generate() -> str:
    """A new password of 192 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    with written_whole(path, mode=0o600) as file:
        file.write(text.encode())


def pgpass_line(role: str, password: str, port: int | str = "*") -> str:
    """A line of libpq's password file, for a role on any host."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:{port}:*:{role}:{escaped}\n"
