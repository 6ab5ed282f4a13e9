"""Dagster's code server, which ends when it has lost the code: `python -m dagma.code_server start ...`.

`dagster code-server` goes on without the child that has loaded the code, as the kernel kills it when
memory runs out, and answers every question with an error from then on. Here it ends instead, so
that whoever supervises it, process-compose or a container engine, starts it again.
"""

import os
import signal
import sys
import threading
import time
from importlib import import_module
from typing import Any

#: Seconds between two looks of the code server at its child, and how many in a row it must be gone.
PULSE = 1.0
LOOKS = 3
#: What it says for ever about a child that was killed before it had loaded the code.
KILLED = f"gRPC server exited with return code -{signal.SIGKILL} while starting up"


def main() -> None:
    """Become `dagster code-server`; the arguments are its own."""
    arguments = sys.argv[1:]
    watch(int(arguments[arguments.index("--port") + 1]))
    sys.argv = ["dagster", "code-server", *arguments]
    import_module("dagster._cli").main()


def watch(port: int) -> None:
    """End this process, a code server that listens on the port, once it has lost the code.

    In a stack, runs in progress are other processes and go on; those in its container end with it and
    are run again.
    """
    threading.Thread(target=_end_without_code, args=(port,), daemon=True).start()


def _end_without_code(port: int) -> None:
    client = import_module("dagster._grpc.client").DagsterGrpcClient(host="127.0.0.1", port=port)
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
