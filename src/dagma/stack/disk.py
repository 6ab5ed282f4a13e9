"""Room on the disk: what PostgreSQL needs to start, and what is said where there is less.

A server that starts on a full disk ends at once. Trying that again and again would use up its restarts
within two minutes, and it would stay down when there is room again.
"""

import shutil
from pathlib import Path

#: Bytes that must be free: two segments of the write-ahead log, for what was not yet in the tables.
NEEDED = 2 * 16 * 2**20


def existing(path: Path) -> Path:
    """The path, or where it does not exist yet the nearest of its parents that does."""
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def full(directory: Path) -> str | None:
    """One sentence when PostgreSQL could not start in a directory; None when it could.

    Args:
        directory: Of the state; where it does not exist yet, its parents count.
    """
    place = existing(directory)
    free = shutil.disk_usage(place).free
    if free >= NEEDED:
        return None
    return (
        f"The disk is full: {free / 1e6:.0f} MB are free at {place}, and PostgreSQL needs "
        f"{NEEDED / 1e6:.0f} MB to start; free some."
    )
