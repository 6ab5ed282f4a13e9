"""Files that are there whole or not at all, whatever ends their writer."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(target: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Give a file to write, which replaces `target` at the end of the block.

    It has another name in the same directory until it is complete and on the disk. When the block
    fails, nothing has changed; a process that is killed in it leaves `.NAME.*.tmp` as well.

    Args:
        target: The file; its directory exists.
        mode: Permission bits of a new file, less those of the umask.

    Raises:
        OSError: It cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)


def sync(directory: Path) -> None:
    """Bring a directory's names to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
