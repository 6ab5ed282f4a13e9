"""Keep a second process from doing the same thing at the same time: refused, or made to wait."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

#: What is locked where a directory cannot be.
FILE = ".dagma.lock"


@contextmanager
def alone(directory: Path, otherwise: Exception) -> Iterator[None]:
    """Hold the lock of a directory, which ends with this process at the latest.

    The lock is the directory's own, and leaves nothing. NFS locks only what is open for writing, which
    a directory never is (flock(2)): there it is that of the file `.dagma.lock` in it.

    Args:
        directory: It has one lock: what may go on beside needs another directory.
        otherwise: Raised when another process holds it.

    Raises:
        OSError: There is no such directory, or it cannot be read.
    """
    with ExitStack() as held:
        try:
            _lock(held, directory, os.O_RDONLY | os.O_DIRECTORY)
        except BlockingIOError:
            raise otherwise from None
        yield


def wait_for(file: IO[Any], tell: Callable[[], object]) -> None:
    """Take the lock of a file that is open for writing, which ends when the file is closed.

    Args:
        file: What is locked.
        tell: Called when another process has it, which is then waited for.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell()
        fcntl.flock(file, fcntl.LOCK_EX)


def _lock(held: ExitStack, path: Path, flags: int) -> None:
    descriptor = os.open(path, flags, 0o600)
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EBADF or not path.is_dir():
            raise
        _lock(held, path / FILE, os.O_WRONLY | os.O_CREAT)
