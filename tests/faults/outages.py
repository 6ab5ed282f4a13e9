"""Ways in which the database is away for a while, each undone at the end of its block."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from under_fault import StackUnderFault

from dagma.stack.supervisor import Supervisor


@contextmanager
def frozen(stack: StackUnderFault) -> Iterator[None]:
    """PostgreSQL holds its port and its connections, and answers nothing."""
    [server] = stack.postmasters()
    processes = [psutil.Process(server), *psutil.Process(server).children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@contextmanager
def stopped(stack: StackUnderFault) -> Iterator[None]:
    """PostgreSQL is stopped: connections are cut, new ones refused."""
    supervisor = Supervisor(stack.live.home / "run/process-compose.sock")
    supervisor.stop_process("postgres")
    try:
        yield
    finally:
        supervisor.start("postgres")


OUTAGES = {"database frozen": frozen, "database stopped": stopped}
