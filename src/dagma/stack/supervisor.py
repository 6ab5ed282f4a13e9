"""Talking to process-compose over its unix socket, and finding what belongs to a stack."""

import http.client
import json
import os
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from dagma.errors import NotRunning, StackError
from dagma.stack.environment import MARKER
from dagma.stack.layout import LONGEST_SOCKET
from dagma.stack.waiting import wait_until

_NOT_RUNNING = "No stack is running here; `dagma up` starts one."

#: Seconds that process-compose may take for an answer; stopping a service counts into it.
ANSWER = 90.0


@dataclass(frozen=True)
class Process:
    """One process as process-compose sees it.

    Attributes:
        name: Its name in the topology.
        state: Lower-case state: running, restarting, completed, skipped, disabled, ...
        healthy: It runs and its probe, or its log line, says so.
        pid: Its process id, None when it does not run.
        restarts: How often it was started again.
        exit_code: Of the last end.
    """

    name: str
    state: str
    healthy: bool
    pid: int | None
    restarts: int
    exit_code: int


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Supervisor:
    """The process-compose of one state directory, running or not."""

    def __init__(self, control_socket: Path) -> None:
        self._socket = control_socket

    def alive(self) -> bool:
        """Whether it answers; a socket file alone proves nothing."""
        try:
            self._ask("GET", "/live", timeout=5.0)
        except StackError:
            return False
        return True

    def processes(self) -> dict[str, Process]:
        """All processes of the topology, whether they were asked for or not.

        Raises:
            NotRunning: Nothing listens.
        """
        answer = self._ask("GET", "/processes")
        return {item["name"]: _process(item) for item in answer["data"]}

    def start(self, name: str) -> None:
        """Start a process that was left out so far."""
        self._ask("POST", f"/process/start/{name}")

    def restart(self, name: str) -> None:
        """Stop a process and start it again."""
        self._ask("POST", f"/process/restart/{name}")

    def stop_process(self, name: str) -> None:
        """Stop one process; it stays stopped until it is started."""
        self._ask("PATCH", f"/process/stop/{name}")

    def stop(self) -> None:
        """Stop all processes in order, and process-compose itself."""
        self._ask("POST", "/project/stop")

    def attach(self) -> None:
        """Show process-compose's own interface on this terminal until its user leaves it."""
        command = ["process-compose", "--unix-socket", str(self._socket), "attach"]
        subprocess.run(command, check=False)

    def _ask(self, method: str, path: str, timeout: float = ANSWER) -> dict[str, Any]:
        if len(os.fsencode(self._socket)) > LONGEST_SOCKET:  # `dagma up` says so; nobody can listen
            raise NotRunning(_NOT_RUNNING)
        connection = _UnixConnection(self._socket, timeout)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
        except (FileNotFoundError, ConnectionError, http.client.HTTPException) as error:
            raise NotRunning(_NOT_RUNNING) from error
        except OSError as error:
            raise StackError(f"process-compose does not answer: {error}") from error
        finally:
            connection.close()
        return _parsed(response.status, body)


def _parsed(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(body)
    except ValueError as error:
        raise StackError("process-compose gave an answer that is not JSON.") from error
    if status >= 400:
        raise StackError(f"process-compose refused: {answer.get('error', answer)}")
    return answer


def _process(item: dict[str, Any]) -> Process:
    state = str(item["status"]).lower()
    runs = bool(item["is_running"])
    return Process(
        name=item["name"],
        state=state,
        healthy=state == "running" and item["is_ready"] == "Ready",
        pid=item["pid"] if runs else None,
        restarts=item["restarts"],
        exit_code=item["exit_code"],
    )


def members(home: Path) -> list[psutil.Process]:
    """Every process of the stack in this state directory, except this one and its parents.

    Processes carry the mark in their environment. PostgreSQL overwrites that of its children, so
    these are found as its children, and itself by its pid file.
    """
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = {process.pid: process for process in psutil.process_iter() if _marked(process, home)}
    for process in [*found.values(), *_postmaster(home)]:
        found.setdefault(process.pid, process)
        found |= {child.pid: child for child in _children(process)}
    return [process for pid, process in found.items() if pid not in spared]


def end(processes: Iterable[psutil.Process], patience: float) -> list[psutil.Process]:
    """End processes: TERM first, KILL after `patience` seconds; those that are left even then."""
    waiting = list(processes)
    for signal in ("terminate", "kill"):
        for process in waiting:
            try:
                getattr(process, signal)()
            except psutil.Error:
                continue
        _, waiting = psutil.wait_procs(waiting, timeout=patience if signal == "terminate" else 5.0)
    return waiting


def gone(home: Path, patience: float) -> list[psutil.Process]:
    """Wait until no process of the stack is left; those that are after `patience` seconds."""
    wait_until(lambda: not members(home), patience)
    return members(home)


def _marked(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get(MARKER) == str(home)
    except (psutil.Error, OSError):
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _postmaster(home: Path) -> list[psutil.Process]:
    """The running server of this cluster: pid and cluster as its own pid file says."""
    try:
        lines = (home / "postgres/data/postmaster.pid").read_text(encoding="utf-8").splitlines()
        process = psutil.Process(int(lines[0]))
        is_server = str(home / "postgres/data") in process.cmdline()
    except (OSError, ValueError, IndexError, psutil.Error):
        return []
    return [process] if is_server else []
