"""What commands have in common: the stack of this directory, exit codes, words that are offered."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagma import interrupts

if TYPE_CHECKING:
    from dagma.stack.control import Stack

#: What a shell reports for a command that Ctrl-C ended.
INTERRUPTED = 130
#: Exit code of `status` and `up -d` when not every service is healthy, or the code does not load.
UNHEALTHY = 3


def stack() -> "Stack":
    """The stack that the environment and this directory's .env are about.

    What a shell only has of `dagma env` is taken out of the environment: .env may say more by now.

    Raises:
        SettingsError: One of the settings is wrong.
    """
    from dagma.stack import control, environment, settings

    for name in environment.exported_by_dagma(os.environ):
        del os.environ[name]
    return control.Stack(settings.load(os.environ, Path.cwd()))


def say(*lines: str) -> None:
    """Print lines."""
    for line in lines:
        click.echo(line)


def warn(*problems: str | None) -> None:
    """Print those that there are, in yellow."""
    say(*(click.style(problem, fg="yellow") for problem in problems if problem))


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, TERM and HUP end what is done here, with the exit code INTERRUPTED."""
    interrupts.catch()
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


class Choice(click.Choice[str]):
    """One of some words, which are imported when they are asked for."""

    def __init__(self, words: Callable[[], Iterable[str]]) -> None:
        self.case_sensitive = True
        self._words = words

    @cached_property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The words."""
        return tuple(self._words())


def groups() -> Iterable[str]:
    """What `up` starts, by name."""
    from dagma.stack import topology

    return topology.GROUPS


def pages() -> Iterable[str]:
    """The services that a browser shows."""
    from dagma.stack import access

    return access.PAGES


def complete_service(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """What the shell offers for a service's name."""
    from dagma.stack import topology

    return [name for name in topology.SERVICES if name.startswith(typed)]
