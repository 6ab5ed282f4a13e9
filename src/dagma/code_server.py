"""Dagster's code server, which ends when it has lost the code: `python -m dagma.code_server start ...`.

`dagster code-server` goes on without the child that has loaded the code, as the kernel kills it when
memory runs out, and answers every question with an error from then on. Here it ends instead, so
that whoever supervises it, process-compose or a container engine, starts it again.
"""

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from dagma import stopped
from dagma.private import UMASK

#: Seconds between two looks of the code server at its child, and how many in a row it must be gone.
PULSE = 1.0
LOOKS = 3
#: What it says for ever about a child that was killed before it had loaded the code.
KILLED = f"gRPC server exited with return code -{signal.SIGKILL} while starting up"


@dataclass(frozen=True)
class Address:
    """Where a code server listens: on a port, or on a socket.

    Attributes:
        host: Name or address, where it is a port.
        port: The port; None for a socket.
        path: Of the socket, as gRPC reads it: with %20 for a space.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    path: str | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Address":
        """What the stack has put into the environment of its services."""
        if port := environ.get("USER_CODE_PORT"):
            return cls(environ["DAGMA_USER_CODE_HOST"], int(port))
        return cls(path=environ["DAGMA_USER_CODE_SOCKET"])

    def connect(self, timeout: float) -> socket.socket:
        """A connection; raises OSError when nothing listens."""
        if self.path is None:
            return socket.create_connection((self.host, self.port or 0), timeout)
        link = socket.socket(socket.AF_UNIX)
        try:
            link.settimeout(timeout)
            link.connect(unquote(self.path))
        except OSError:
            link.close()
            raise
        return link


def main() -> None:
    """Become `dagster code-server`; the arguments are its own."""
    arguments = sys.argv[1:]
    watch(Address(port=int(arguments[arguments.index("--port") + 1])))
    sys.argv = ["dagster", "code-server", *arguments]
    stopped.run(program("dagster"))


def program(name: str) -> Callable[[], Any]:
    """The function behind one of Dagster's commands, as Dagster's package declares it.

    Args:
        name: Of the command: `dagster` or `dagster-daemon`.
    """
    from importlib.metadata import distribution

    [script] = distribution("dagster").entry_points.select(group="console_scripts", name=name)
    run: Callable[[], Any] = script.load()
    return run


def listen(code: Address) -> list[str]:
    """The options with which `dagster code-server start` listens there.

    Whoever reaches the socket of a code server, or of the child in which it has loaded the code, runs
    code as its user. The child's is made where this process has its temporary files: beside ours, in a
    directory that nobody else enters. Where gRPC would misread that path, its mode keeps others out.
    """
    os.umask(UMASK)
    if code.path is None:
        return ["--host", code.host, "--port", str(code.port)]
    path = Path(unquote(code.path))
    if not set("%?#") & set(str(path)):
        tempfile.tempdir = str(path.parent)
    return ["--socket", code.path]


def watch(code: Address) -> None:
    """End this process, a code server that listens there, once it has lost the code.

    In a stack, runs in progress are other processes and go on; those in its container end with it and
    are run again.
    """
    threading.Thread(target=_end_without_code, args=(code,), daemon=True).start()


def _end_without_code(code: Address) -> None:
    from dagma.instance.dagster_private import grpc_client

    client = grpc_client()(host="127.0.0.1", port=code.port, socket=code.path)
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
    from dagma.instance.dagster_private import DagsterUserCodeUnreachableError

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
