"""Start one of Dagster's programs: `python -m dagma.stack.launch [--after-user-code] PROGRAM ARGS`.

Importing takes most of the time to a healthy service. Here it is done without garbage collection,
which saves a sixth of it, and, for what loads the code location, while the user code's server is
still starting: then the wait for its socket, which also spares a failed attempt to load it, and for
the database.

The daemon ends when the clock was set back, and so is started again: its loops would wait until the
clock is where it had been.
"""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from dagma import code_server
from dagma.stack import started
from dagma.stack.waiting import wait_until

AFTER_USER_CODE = "--after-user-code"
CODE_SERVER, DAEMON, WEBSERVER = "code-server", "dagster-daemon", "dagster-webserver"
#: Seconds between two looks at the clock, and by how many it must have been set back meanwhile.
PULSE = 1.0
SETBACK = 5.0
#: Seconds to wait for the user code; then we start without it, and its error shows in the interface.
PATIENCE = 60.0


def main() -> None:
    """Become the program that the arguments name."""
    arguments = sys.argv[1:]
    waits = arguments[0] == AFTER_USER_CODE
    program, *rest = arguments[1:] if waits else arguments
    run = load(program)
    code = code_server.Address.of(os.environ)
    if waits:
        wait_for_server(code, PATIENCE)
        wait_for_database()
    if CODE_SERVER in rest:
        # Its child, which loads the code, takes what a reload has brought.
        sys.executable = str(started.interpreter(Path(os.environ["DAGMA_HOME"])))
        rest += code_server.listen(code)
        code_server.watch(code)
    if program == DAEMON:
        threading.Thread(target=end_after_setback, daemon=True).start()
    sys.argv = [program, *rest]
    sys.exit(run())


def load(program: str) -> Callable[[], Any]:
    """Import a program, without collecting garbage that is not there yet; the webserver is ours."""
    gc.disable()
    try:
        if program == WEBSERVER:
            webserver: Callable[[], Any] = import_module("dagma.door.webserver").main
            return webserver
        return code_server.program(program)
    finally:
        gc.freeze()
        gc.enable()


def wait_for_server(code: code_server.Address, patience: float) -> bool:
    """Wait until something listens.

    Args:
        code: Where the user code is to be.
        patience: Seconds after which we go on anyway.

    Returns:
        Whether it listens.
    """
    return wait_until(lambda: _listens(code), patience, 0.05)


def _listens(code: code_server.Address) -> bool:
    try:
        code.connect(timeout=1.0).close()
    except OSError:
        return False
    return True


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


if __name__ == "__main__":
    main()
