"""Signals that ask a command to end."""

import signal
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """TERM or HUP came: the machine goes down, or the terminal is gone."""


class Undone(KeyboardInterrupt):
    """A command was interrupted, and has taken back what it had begun."""


def catch() -> None:
    """Make TERM and HUP end us as Ctrl-C does, and keep an ignored SIGINT from the services."""

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    for number in ENDING:
        signal.signal(number, interrupt)


def ignore() -> None:
    """Let nothing interrupt what is begun now."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
