"""From `dagma up` to `dagma down`: the stack as a whole, begun, joined, kept and ended."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from dagma import interrupts
from dagma.errors import NotRunning, StackError
from dagma.stack import changes, preflight, problems, source, topology
from dagma.stack.control import Report, Stack, Status, Tell

#: Seconds between two looks at the supervisor of a stack that `dagma up` stays with.
PERIOD = 0.2


class Rows(Protocol):
    """Services, shown as they become healthy."""

    def add(self, status: Status, seconds: float) -> None:
        """A service has become healthy after so many seconds."""

    def tell(self, line: str) -> None:
        """Show a line above the services."""


class Screen(Protocol):
    """Where a user reads what goes on."""

    def say(self, line: str) -> None:
        """Show a line."""

    def warn(self, *lines: str | None) -> None:
        """Show those lines that there are so that they are noticed."""

    def services(self, found: Iterable[Status]) -> None:
        """Show services as they are."""

    def rows(self, names: Iterable[str]) -> contextlib.AbstractContextManager[Rows]:
        """Show services that are waited for."""


@dataclass(frozen=True)
class Start:
    """A stack whose services are healthy.

    Attributes:
        names: Its services.
        mine: This call has started it; else it ran already.
        problem: One line about user code that does not load.
    """

    names: list[str]
    mine: bool
    problem: str | None


@contextlib.contextmanager
def begun(stack: Stack, group: str, apply: bool, screen: Screen) -> Iterator[Start]:
    """Bring the services of a group up; Ctrl-C in the block takes down what this call started.

    Args:
        stack: Running or not.
        group: One of `topology.GROUPS`.
        apply: Whether services that run already take changed settings and code.
        screen: Where the user reads of it.

    Raises:
        DagmaError: Something does not hold, or a service does not start; what was begun is ended.
        Undone: Ctrl-C came before all were healthy.
    """
    names, note = topology.members(group, stack.settings)
    interrupts.catch()
    try:
        if note:
            screen.say(note)
        mine = _start(stack, names, apply, screen)
        yield Start(names, mine, problems.of_code(stack, stack.status()))
    except interrupts.Undone:
        raise
    except KeyboardInterrupt as interrupt:
        if stack.child is not None:
            now = isinstance(interrupt, interrupts.Terminated)
            _end(stack, 0 if now else stack.settings.drain_timeout, screen.say)


def _start(stack: Stack, names: list[str], apply: bool, screen: Screen) -> bool:
    """Bring the services up; whether this call was the one that started the stack."""
    screen.warn(source.untracked(source.checkout()), preflight.corpus(stack.settings))
    if not stack.running():
        stack.check(names)
    with stack.alone(screen.say):
        if stack.running():  # maybe since another call was faster
            _join(stack, names, apply, screen)
            return False
        for line in stack.start(names):
            screen.say(line)
        _wait(stack, names, screen)
    screen.warn(*problems.of_services(stack, names), preflight.exposure(stack.settings))
    return True


def _join(stack: Stack, names: list[str], apply: bool, screen: Screen) -> None:
    """Add services to the running stack, and bring it what has changed, or say so."""
    found = changes.find(stack)
    if set(names) - set(stack.members()):
        found.require_same_stack()
    new = stack.extend(names)
    if new:
        with screen.rows(new) as rows:
            stack.wait(new, rows.add, rows.tell)
        screen.warn(*problems.of_services(stack, new))
        found = changes.find(stack)  # assets learn of new services
    screen.say("Added to the running stack." if new else "Already up.")
    if apply:
        with screen.rows(found.services) as rows:
            done = changes.apply(stack, found, rows.add)
        screen.say(f"Started anew: {', '.join(done)}." if done else "Nothing has changed.")
    else:
        if not new:
            screen.services(stack.status())
        screen.warn(*found.lines())


def _wait(stack: Stack, names: list[str], screen: Screen) -> None:
    """Wait for health; a stack that does not get there is taken down again."""
    try:
        with screen.rows(names) as rows:
            stack.wait(names, rows.add, rows.tell)
    except StackError:
        _end(stack, 0, screen.say)
        raise
    except KeyboardInterrupt:
        _end(stack, 0, screen.say)
        raise interrupts.Undone from None


def stay(stack: Stack, say: Tell) -> None:
    """Wait for Ctrl-C, which is the caller's, or for the end of the supervisor.

    Raises:
        StackError: The supervisor was killed; everything is stopped.
    """
    if stack.child is None:
        return
    while stack.child.poll() is None:
        time.sleep(PERIOD)
    _end(stack, 0, say)
    if stack.child.returncode != 0:
        raise StackError("process-compose was ended from outside; so the services were stopped.")


def _end(stack: Stack, patience: float, tell: Callable[[str], None]) -> None:
    """Take everything down: runs in progress have so many seconds, and until the next signal.

    From then on it is done whatever signals still come and even when the terminal is gone.
    """
    from dagma.stack import drain  # costs a start nothing

    def say(line: str) -> None:
        with contextlib.suppress(OSError):
            tell(line)

    if patience:
        with contextlib.suppress(KeyboardInterrupt):
            say("Stopping; another Ctrl-C does not wait for runs in progress.")
            drain.Drain(stack, say).wait(patience)
    interrupts.ignore()
    drain.Drain(stack, say).stop("The end of `dagma up`")
    for note in [*stack.down(), "Everything is stopped; the state is kept."]:
        say(note)


def down(stack: Stack, patience: float, say: Tell) -> bool:
    """Wait for runs in progress, then stop all services.

    Args:
        stack: Running or not.
        patience: Seconds for the runs; those that take longer are ended, and run again after `up`.
        say: Told what happens.

    Returns:
        Whether it was running.

    Raises:
        Undone: Ctrl-C came while runs were waited for; the stack goes on running.
        StackError: A process cannot be ended.
    """
    from dagma.stack import drain  # its imports are for the end only

    was_running = stack.running()
    runs = drain.Drain(stack, say)
    try:
        if patience:
            runs.wait(patience)
    except KeyboardInterrupt:
        runs.resume()
        say("The stack goes on running.")
        raise interrupts.Undone from None
    with stack.alone(say):
        runs.stop("`dagma down`")
        for line in stack.down():
            say(line)
    return was_running


def restart(stack: Stack, service: str, report: Report) -> None:
    """Restart one service with today's settings and code, and wait until it is healthy.

    Raises:
        NotRunning: No stack runs.
        StackError: What changed is for all services, or no such service runs, or it does not come
            back.
    """
    if not stack.running():
        raise NotRunning("No stack is running here; `dagma up` starts one.")
    changes.find(stack).require_same_stack()
    stack.restart(service, report)
