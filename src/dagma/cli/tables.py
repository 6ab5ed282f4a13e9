"""Tables, all by one writer; on a terminal, that of services that are waited for is live."""

import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from dagma.cli import base

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from dagma.stack.automation import Automation
    from dagma.stack.control import Status

#: Characters that a name of a service has at least, and what is said of it.
NAME, STATE = 10, 10
#: Pictures a second of a live table.
REFRESH = 8


def columns(rows: Iterable[Sequence[str]], least: Sequence[int] = ()) -> list[str]:
    """Rows as lines: each column as wide as its widest cell, and two spaces between them.

    Args:
        rows: Cells, which may be styled, as many in each.
        least: Characters that the first columns have at least, where lines are shown one by one.
    """
    cells = list(rows)
    shown = [[len(click.unstyle(cell)) for cell in row] for row in cells]
    widths = [max(column) for column in zip(*shown, strict=True)]
    widths = [max(pair) for pair in zip(widths, [*least, *[0] * len(widths)], strict=False)]
    return [
        "  ".join(cell + " " * (widths[i] - shown[n][i]) for i, cell in enumerate(row)).rstrip()
        for n, row in enumerate(cells)
    ]


def services(found: "Iterable[Status]") -> list[str]:
    """Services as they are, a line each."""
    rows = [
        (*_head(one), f"pid {one.pid or '-'}", f"restarts {one.restarts}", one.reason or one.url)
        for one in found
    ]
    return columns(rows, (NAME, STATE, len("pid 1234567"), len("restarts 123")))


def automations(found: "list[Automation]") -> list[str]:
    """Schedules and sensors, a line each; further ticks are below the first."""
    if not found:
        return ["The code location has no schedules and no sensors."]
    rows = []
    for one in found:
        first, *more = one.next or [""]
        rows.append((one.name, one.status, one.rhythm, first))
        rows += [("", "", "", tick) for tick in more]
    return columns(rows, (0, len("RUNNING")))


def _head(status: "Status") -> tuple[str, str]:
    """A service's name, and what is said of it."""
    word = "healthy" if status.healthy else status.state
    return status.name, click.style(word, fg="green" if status.healthy else "red")


def _became(done: "list[tuple[Status, float]]") -> list[tuple[str, ...]]:
    """The cells of services that have become healthy, and after how many seconds."""
    return [(*_head(one), f"{seconds:5.1f} s", one.reason or one.url) for one, seconds in done]


class Rows:
    """Shows services as they become healthy."""

    def __init__(self, waiting: Iterable[str]) -> None:
        self._waiting = list(waiting)
        self._done: list[tuple[Status, float]] = []
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            from rich.live import Live  # costs 0.1 s, so only where it is seen

            self._live = Live(self, refresh_per_second=REFRESH, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            base.say(*columns(_became(self._done), (NAME, STATE)))

    def add(self, status: "Status", seconds: float) -> None:
        """A service has become healthy after so many seconds."""
        self._done.append((status, seconds))
        if self._live is None:
            base.say(*columns(_became([(status, seconds)]), (NAME, STATE)))

    def tell(self, line: str) -> None:
        """Show a line above the services."""
        if self._live is None:
            base.say(line)
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> "Text":
        """The table of this moment, which a live display asks for."""
        from rich.spinner import Spinner
        from rich.text import Text

        frames = Spinner("dots").frames
        word = f"{frames[int(time.monotonic() * REFRESH) % len(frames)]} starting"
        done = {status.name for status, _ in self._done}
        waiting = [(name, word, "", "") for name in self._waiting if name not in done]
        lines = columns([*_became(self._done), *waiting], (NAME, STATE))
        return Text.from_ansi("\n".join(lines), no_wrap=True, overflow="ellipsis")


class Screen:
    """Where the user reads of the stack: standard output."""

    say = staticmethod(base.say)
    warn = staticmethod(base.warn)

    def services(self, found: "Iterable[Status]") -> None:
        """Show services as they are."""
        base.say(*services(found))

    def rows(self, names: Iterable[str]) -> Rows:
        """Show services that are waited for."""
        return Rows(names)
