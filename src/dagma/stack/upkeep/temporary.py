"""One server of a state that is being built, for as long as something is put into it."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from dagma.errors import BackupError, StackError
from dagma.stack import direct, environment
from dagma.stack.layout import Layout
from dagma.stack.logs import last_lines
from dagma.stack.settings import Loaded
from dagma.stack.waiting import wait_until

#: Seconds for a server that was just started; replaying a snapshot can take most of it.
PATIENCE = 3600.0
#: Seconds for a server to write everything to the disk and end.
ENDING = 120.0


@contextlib.contextmanager
def server(
    fresh: Loaded, name: str, command: list[str], extra: dict[str, str], cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, and end it so that it writes all to the disk.

    Args:
        fresh: Settings of the new state.
        name: Of the process, whose log it gets.
        command: Its command line.
        extra: What its environment has beside that of services.
        cwd: Its working directory, if not ours.

    Raises:
        StackError: It does not end.
    """
    with Layout.of(fresh.settings).log(name).open("ab") as log:
        process = subprocess.Popen(
            command,
            env=environment.of_services(fresh, [], os.environ) | extra,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # to PostgreSQL "fast": it ends sessions
        try:
            process.wait(timeout=ENDING)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise StackError(f"{name} did not end within {ENDING:.0f} s.") from error


def wait(
    process: subprocess.Popen[bytes], fresh: Loaded, name: str, ready: Callable[[], bool]
) -> None:
    """Return when a server is ready.

    Raises:
        BackupError: It ended, or time is up.
    """
    wait_until(lambda: ready() or process.poll() is not None, PATIENCE, 0.05)
    if not ready():
        end = " | ".join(last_lines(Layout.of(fresh.settings).log(name), 3))
        raise BackupError(f"{name} cannot be started for the restore: {end}")


def listens(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    """Whether a server answers there with success."""
    try:
        direct.opened(url, timeout=5.0).close()
    except OSError:
        return False
    return True
