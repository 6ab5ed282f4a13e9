"""Passwords that are made here, and the files and directories that are their owner's alone."""

import os
import secrets
import stat
import string
from pathlib import Path

from dagma.files import written_whole

#: Without characters that a shell, a URL or a password file would have to escape.
_ALPHABET = string.ascii_letters + string.digits + "_-"
_LENGTH = 32
#: What a user's umask leaves to others, this takes away: set by every command of ours.
UMASK = 0o077


def generate() -> str:
    """A new password of 192 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    with written_whole(path, mode=0o600) as file:
        file.write(text.encode())


def directory(path: Path, mode: int = 0o700) -> None:
    """Make a directory and the missing ones above it, with this mode whatever the umask.

    Raises:
        OSError: It cannot be made, or what is there is no directory.
    """
    if path.is_dir():
        return
    directory(path.parent, mode)
    path.mkdir(exist_ok=True)
    path.chmod(mode)


def close(path: Path) -> None:
    """Take from others what they may do with a directory of ours and all below it.

    From the top down: in a directory that is closed nobody can put a link where a file was. Links
    are left alone, and what belongs to another user.

    Raises:
        OSError: It cannot be read.
    """
    _close(path)
    if path.is_symlink():
        return
    for folder, folders, files in path.walk():
        for name in (*folders, *files):
            _close(folder / name)


def _close(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    is_ours = found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode)
    if is_ours and found.st_mode & 0o077:
        path.chmod(stat.S_IMODE(found.st_mode) & 0o700)


def pgpass_line(role: str, password: str, port: int | str = "*") -> str:
    """A line of libpq's password file, for a role on any host."""
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:{port}:*:{role}:{escaped}\n"
