"""Keep a second process from doing the same thing at the same time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(directory: Path, otherwise: Exception) -> Iterator[None]:
    """Hold the lock of a directory, which ends with this process at the latest.

    Args:
        directory: It has one lock: what may go on beside needs another directory.
        otherwise: Raised when another process holds it.

    Raises:
        OSError: There is no such directory, or it cannot be read.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise otherwise from None
        yield
    finally:
        os.close(descriptor)
