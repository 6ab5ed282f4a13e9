"""The table of services: a live one on a terminal, one line per service elsewhere."""

import sys
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from dagma.stack.control import Status

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table


class Rows:
    """Shows services as they become healthy."""

    def __init__(self, waiting: Iterable[str], quiet: bool = False) -> None:
        self._waiting = list(waiting)
        self._done: list[tuple[Status, float]] = []
        self._live: Live | None = None
        self._plain = quiet or not sys.stdout.isatty()

    def __enter__(self) -> Self:
        if not self._plain:
            from rich.live import Live  # costs 0.1 s, so only where it is seen

            self._live = Live(self._table(), refresh_per_second=8, transient=True)
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
            for status, seconds in self._done:
                click.echo(row(status, seconds))

    def add(self, status: Status, seconds: float) -> None:
        """A service has become healthy after so many seconds."""
        self._done.append((status, seconds))
        if self._live is None:
            click.echo(row(status, seconds))
        else:
            self._live.update(self._table())

    def tell(self, line: str) -> None:
        """Show a line above the services."""
        if self._live is None:
            click.echo(line)
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> "Table":
        from rich.spinner import Spinner
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for status, seconds in self._done:
            table.add_row(status.name, "[green]healthy[/]", f"{seconds:.1f} s", status.url)
        done = {status.name for status, _ in self._done}
        for name in self._waiting:
            if name not in done:
                table.add_row(name, Spinner("dots", "starting"), "", "")
        return table


def row(status: Status, seconds: float | None = None) -> str:
    """One line about a service; with `seconds` since `up`, without with its restarts."""
    word = "healthy" if status.healthy else status.state
    colour = "green" if status.healthy else "red"
    if seconds is not None:
        detail = f"{seconds:5.1f} s"
    else:
        detail = f"pid {status.pid or '-':<8} restarts {status.restarts:<3}"
    where = status.reason or status.url
    return f"{status.name:<10}  {click.style(f'{word:<10}', fg=colour)}  {detail}  {where}"
