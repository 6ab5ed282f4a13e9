"""Room on the disk: what PostgreSQL needs to start, and what is said where there is less.

A server that starts on a full disk ends at once. Trying that again and again would use up its restarts
within two minutes, and it would stay down when there is room again.
"""

import shutil
from pathlib import Path

#: Bytes that must be free: two segments of the write-ahead log, for what was not yet in the tables.
NEEDED = 2 * 16 * 2**20


def full(directory: Path) -> str | None:
    """One sentence when PostgreSQL could not start in a directory; None when it could.

    Args:
        directory: Of the state; where it does not exist yet, its parents count.
    """
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free >= NEEDED:
        return None
    return (
        f"The disk is full: {free / 1e6:.0f} MB are free at {existing}, and PostgreSQL needs "
        f"{NEEDED / 1e6:.0f} MB to start; free some."
    )
