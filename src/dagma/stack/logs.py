"""Reading the services' log files, also while they grow and are rotated."""

import os
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO

from dagma.errors import StackError
from dagma.stack import topology
from dagma.stack.layout import Layout

#: Seconds between two looks for new lines.
PERIOD = 0.2

Show = Callable[[str, str], None]


def of_services(layout: Layout, service: str | None) -> dict[str, Path]:
    """The log of a service by its name, or those of all, for `tail` and `follow`.

    Raises:
        StackError: There is no such service.
    """
    known = [topology.INIT, *topology.SERVICES]
    if service is not None and service not in known:
        raise StackError(f"There is no service {service!r}; choose one of {', '.join(known)}.")
    return {name: layout.log(name) for name in ([service] if service else known)}


def tail(files: dict[str, Path], count: int, show: Show) -> None:
    """Show the last lines of each file.

    Args:
        files: Path by service.
        count: Lines of each.
        show: Called with service and line.
    """
    for name, path in files.items():
        for line in last_lines(path, count):
            show(name, line)


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log; none when it does not exist."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = text.splitlines()
    return lines[max(0, len(lines) - count) :]


class Growth:
    """What is added to a log from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = _size(path)

    def lines(self) -> list[str]:
        """The new lines that are complete, all of a log that was made anew."""
        if (size := _size(self._path)) < self._before:
            self._before = 0
        if size == self._before:
            return []
        with self._path.open("rb") as file:
            file.seek(self._before)
            text = file.read().decode("utf-8", errors="replace")
        return [line.rstrip("\n") for line in text.splitlines(keepends=True) if line[-1] == "\n"]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def follow(files: dict[str, Path], count: int, show: Show) -> None:
    """Show the last lines of each file, then new ones until interrupted.

    None is lost between the two, nor when a log is rotated or appears.

    Args:
        files: Path by service.
        count: Lines of each to begin with.
        show: Called with service and line.
    """
    with ExitStack() as opened:
        readers = {
            name: opened.enter_context(closing(_lines(path, count))) for name, path in files.items()
        }
        while True:
            for name, reader in readers.items():
                for line in reader:
                    if line is None:
                        break
                    show(name, line)
            time.sleep(PERIOD)


def _lines(path: Path, count: int) -> Generator[str | None]:
    """The last complete lines and all new ones, with None whenever there is nothing more for now."""
    stream = _open(path)
    *old, rest = (stream.read() if stream else "").split("\n")
    try:
        yield from old[max(0, len(old) - count) :]
        while True:
            text = stream.read() if stream else ""
            *lines, rest = (rest + text).split("\n")
            yield from lines
            if not text and (stream is None or _replaced(path, stream)):
                if stream:
                    stream.close()
                stream = _open(path)
            yield None
    finally:
        if stream:
            stream.close()


def _open(path: Path) -> IO[str] | None:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _replaced(path: Path, stream: IO[str]) -> bool:
    """Whether the file at the path is another one, or was cut."""
    try:
        there = path.stat()
    except OSError:
        return True
    here = os.fstat(stream.fileno())
    return there.st_ino != here.st_ino or there.st_size < stream.tell()
