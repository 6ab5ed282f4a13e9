"""Start one of Dagster's programs: `python -m dagma.stack.launch [--after-user-code] PROGRAM ARGS`.

Importing takes most of the time to a healthy service. Here it is done without garbage collection,
which saves a sixth of it, and, for what loads the code location, while the user code's server is
still starting: then the wait for its port, which also spares a failed attempt to load it, and for
the database.

`dagster code-server` goes on without the child that has loaded the code, answering every question
with an error. Here it ends then, so that whoever supervises it starts it again. So does the daemon
when the clock was set back: its loops would wait until the clock is where it had been.
"""

import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

#: Module with the function `main` of each program.
PROGRAMS = {
    "dagster": "dagster._cli",
    "dagster-webserver": "dagster_webserver.cli",
    "dagster-daemon": "dagster._daemon.cli",
}
AFTER_USER_CODE = "--after-user-code"
CODE_SERVER, DAEMON = "code-server", "dagster-daemon"
#: Seconds between two looks of the code server at its child, and how many in a row it must be gone.
PULSE = 1.0
LOOKS = 3
#: Seconds by which the clock must have been set back between two looks.
SETBACK = 5.0
#: What it says for ever about a child that was killed before it had loaded the code.
KILLED = f"gRPC server exited with return code -{signal.SIGKILL} while starting up"
#: Seconds to wait for the user code; then we start without it, and its error shows in the interface.
PATIENCE = 60.0


def main() -> None:
    """Become the program that the arguments name."""
    arguments = sys.argv[1:]
    waits = arguments[0] == AFTER_USER_CODE
    program, *rest = arguments[1:] if waits else arguments
    run = load(PROGRAMS[program])
    host, port = os.environ["DAGMA_USER_CODE_HOST"], int(os.environ["USER_CODE_PORT"])
    if waits:
        wait_for_port(host, port, PATIENCE)
        wait_for_database()
    if CODE_SERVER in rest:
        threading.Thread(target=end_without_code, args=(host, port), daemon=True).start()
    if program == DAEMON:
        threading.Thread(target=end_after_setback, daemon=True).start()
    sys.argv = [program, *rest]
    sys.exit(run())


def load(module: str) -> Callable[[], Any]:
    """Import a program, without collecting garbage that is not there yet."""
    gc.disable()
    try:
        run: Callable[[], Any] = import_module(module).main
    finally:
        gc.freeze()
        gc.enable()
    return run


def wait_for_port(host: str, port: int, patience: float) -> bool:
    """Wait until something listens.

    Args:
        host: Its address.
        port: Its port.
        patience: Seconds after which we go on anyway.

    Returns:
        Whether it listens.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), timeout=1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def wait_for_database() -> None:
    """Wait until Dagster's database answers; end where it refuses us."""
    from dagma import databases
    from dagma.errors import DagmaError

    try:
        databases.wait_for(os.environ["DAGMA_POSTGRES_URL"])
    except DagmaError as error:
        sys.exit(f"dagma: {error}")


def end_after_setback() -> None:
    """Wait until the clock was set back; end this process, the daemon."""
    before = time.time() - time.monotonic()
    while (now := time.time() - time.monotonic()) > before - SETBACK:
        before = now  # summed up, an adjustment that is slow would count
        time.sleep(PULSE)
    print(f"The clock was set back by {before - now:.0f} s; starting again.", flush=True)
    os._exit(1)


def end_without_code(host: str, port: int) -> None:
    """Wait until this process, a code server, has lost the child that has loaded the code; end it.

    Runs in progress are other processes; they go on.

    Args:
        host: Its own address.
        port: Its own port.
    """
    client = import_module("dagster._grpc.client").DagsterGrpcClient(host=host, port=port)
    missed = 0
    while missed < LOOKS:
        time.sleep(PULSE)
        missed = missed + 1 if _code_is_gone(client) else 0
    print("The process that had loaded the code is gone; starting again.", flush=True)
    os._exit(1)


def _code_is_gone(client: Any) -> bool:  # noqa: ANN401
    """Whether the server answers, but has no child to ask; one that is only busy is there.

    Code that does not load is something else: its error is what the server has to show.
    """
    from dagster._core.errors import DagsterUserCodeUnreachableError

    try:
        client.get_server_id()
    except DagsterUserCodeUnreachableError:
        pass
    else:
        return False
    try:
        answer = client.list_repositories()  # the server's own: why the code did not load
    except DagsterUserCodeUnreachableError as error:
        why: Any = error.__cause__
        return why.code().name == "UNKNOWN" and "UNAVAILABLE" in why.details()
    return bool(KILLED in answer)


if __name__ == "__main__":
    main()
