"""Loading changed user code into the running stack, without ending its runs.

Dagster's code server gives up the code that it serves when the new one does not load. So the new code
is loaded in a process of its own first, and only code that loads is handed over. Then the code
server starts it beside the old one, which ends with its last run; webserver and daemon look at the
code server every second and follow by themselves.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Protocol

import psutil
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from dagma.errors import CodeError, DagmaError, NotRunning
from dagma.stack import changes, location, source, started
from dagma.stack.control import Stack

#: Seconds without a change after which changes count as one: editors write a file in steps.
QUIET = 0.5
#: `python -m dagster` without garbage collection, which would take a fifth of its time. Not with -P, as
#: Dagster does not start the child so: it takes the first entry off the path before it loads.
_DAGSTER = (
    "import gc, runpy; gc.disable();"
    " runpy.run_module('dagster', run_name='__main__', alter_sys=True)"
)
#: What stands between the exceptions of Dagster's report: the user's own is the last cause of the first.
_CAUSE = "The above exception was caused by the following exception:\n"
_MEANWHILE = "The above exception occurred during handling of the following exception:\n"
_TRACE = "Stack Trace:\n"
#: A place in a stack trace that is in nobody's code of today: a package's or Python's own.
_FOREIGN = re.compile(
    r'  File "(<frozen |.*/site-packages/(?!dagma/)|.*/lib/python3\.\d+/(?!site-))'
)
#: Lines of an explanation.
_LINES = 12


def reload(stack: Stack) -> None:
    """Load the user code as this command has it, with today's settings.

    What was loaded before finishes its runs.

    Raises:
        NotRunning: There is no user code or no web interface running.
        CodeError: The code does not load; what was loaded before goes on serving.
    """
    found = stack.supervisor.processes()
    server = found["user_code"].pid
    if server is None or not found["webserver"].healthy:
        raise NotRunning("User code and webserver are not both running; `dagma status` says more.")
    values = stack.renewed(started.USER_CODE)
    candidate = started.candidate(stack.layout.home, started.USER_CODE, values)
    try:
        check(psutil.Process(server), candidate)
        candidate.replace(started.file(stack.layout.home, started.USER_CODE))
    finally:
        candidate.unlink(missing_ok=True)
    location.reload(stack.settings)


class News(Protocol):
    """Where a user reads of reloads."""

    def say(self, line: str) -> None:
        """Show a line."""

    def warn(self, *lines: str | None) -> None:
        """Show those lines that there are so that they are noticed."""

    def refused(self, error: DagmaError) -> None:
        """Show why code was not loaded, after which others are tried."""


def renew(stack: Stack, news: News) -> None:
    """Reload, and say what else than the code has changed for it.

    Raises:
        NotRunning: There is no user code or no web interface running.
        StackError: What has changed is for all services.
        CodeError: The code does not load; what was loaded before goes on serving.
    """
    news.warn(source.untracked(source.checkout()))
    with stack.alone(news.say):
        found = changes.find(stack)
        found.require_same_stack()
        reload(stack)
    taken = [name for name, services in found.settings.items() if started.USER_CODE in services]
    news.say(f"Reloaded, with {', '.join(taken)} as set now." if taken else "Reloaded.")
    news.warn(*changes.find(stack).lines())


def keep_renewing(stack: Stack, news: News) -> None:
    """Reload after each change of the code, for as long as the stack runs.

    Raises:
        NotRunning: The stack is not running, or not any more.
        CodeError: The code cannot be watched.
    """
    folder, recursive = code_folder(stack)

    def changed() -> None:
        try:
            renew(stack, news)
        except NotRunning:
            raise
        except DagmaError as error:
            news.refused(error)

    watch(
        stack, folder, recursive, lambda: news.say(f"Watching {folder}; Ctrl-C ends it."), changed
    )


def check(server: psutil.Process, candidate: Path) -> None:
    """Load the code in a process of its own, exactly as its server's child would.

    Args:
        server: The code server.
        candidate: With what the child would be started, see `dagma.stack.started`.

    Raises:
        CodeError: It does not load.
    """
    environ = server.environ()
    module = environ["DAGMA_CODE_MODULE"]
    shell = shutil.which("bash") or "/bin/sh"
    command = ("-W", "ignore", "-c", _DAGSTER, "definitions", "validate", "--log-format", "json")
    done = subprocess.run(
        [shell, "-c", '. "$0" && exec python "$@"', candidate, *command, "--module-name", module],
        env=environ,
        cwd=server.cwd(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        reason = explanation(done.stdout)
        raise CodeError(f"{module} does not load; what was loaded before goes on serving.{reason}")


def explanation(output: str) -> str:
    """What `dagster definitions validate --log-format json` has against the code, in a few lines."""
    errors = [entry["event"] for entry in _entries(output) if entry.get("level") == "error"]
    text = errors[0].partition("\n\n")[2] or errors[0] if errors else output
    message, _, trace = text.split(_CAUSE)[-1].partition(_MEANWHILE)[0].partition(_TRACE)
    shown = [line for line in message.splitlines() if line.strip()][-_LINES:]
    shown += _own_frames(trace)[len(shown) - _LINES :] if len(shown) < _LINES else []
    return "".join(f"\n  | {line}" for line in shown)


def _own_frames(trace: str) -> list[str]:
    """The lines of a stack trace that are about the user's code."""
    kept, own = [], False
    for line in trace.splitlines():
        if line.startswith("  File "):
            own = not _FOREIGN.match(line)
        if own and line.strip() and not line.startswith("  ["):
            kept.append(line)
    return kept


def _entries(output: str) -> Iterator[dict[str, str]]:
    """The log among what the user's code printed."""
    for line in output.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("logger") == "dagster":
            yield entry


def watch(
    stack: Stack,
    folder: Path,
    recursive: bool,
    began: Callable[[], None],
    changed: Callable[[], None],
) -> None:
    """Watch the code in a folder for as long as the stack runs.

    Args:
        stack: The running stack.
        folder: Where the code is.
        recursive: All below it is code too.
        began: Called once, from when on no change is missed.
        changed: Called after each change.

    Raises:
        NotRunning: The stack is not running, or not any more.
    """
    handler = _Handler()
    observer = Observer()
    observer.schedule(handler, str(folder), recursive=recursive)
    observer.start()
    try:
        began()
        while True:
            while not handler.seen.wait(1.0):
                stack.supervisor.processes()
            while handler.seen.is_set():
                handler.seen.clear()
                handler.seen.wait(QUIET)
            changed()
    finally:
        observer.stop()
        observer.join()


class _Handler(FileSystemEventHandler):
    """Told by watchdog about everything that happens to files, reading included."""

    def __init__(self) -> None:
        self.seen = threading.Event()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note a change of code, also one by a file that is moved over it."""
        paths = (os.fsdecode(event.src_path), os.fsdecode(event.dest_path))
        written = event.event_type in ("created", "modified", "moved", "deleted")
        if written and not event.is_directory and any(path.endswith(source.CODE) for path in paths):
            self.seen.set()


def code_folder(stack: Stack) -> tuple[Path, bool]:
    """The folder of the user code, and whether all below it belongs to it, as in a package.

    Raises:
        NotRunning: The user code's server is not running.
        CodeError: Its module is not found, or is a copy that Nix built.
    """
    pid = stack.supervisor.processes()["user_code"].pid
    if pid is None:
        raise NotRunning("The user code's server is not running; `dagma status` says more.")
    server = psutil.Process(pid)
    module = server.environ()["DAGMA_CODE_MODULE"]
    python_path = stack.renewed(started.USER_CODE).get("PYTHONPATH", "").split(os.pathsep)
    found = PathFinder.find_spec(module.partition(".")[0], [server.cwd(), *python_path, *sys.path])
    if found is None or not (found.origin or found.submodule_search_locations):
        raise CodeError(f"{module} is not found, so it cannot be watched.")
    package = found.submodule_search_locations
    place = Path(next(iter(package))) if package else Path(str(found.origin)).parent
    if place.resolve().is_relative_to(source.STORE):
        raise CodeError(
            f"{module} is a copy that Nix built, which never changes, so it cannot be watched;"
            " `./nixw develop -c dagma reload --watch` watches the checkout and loads from it."
        )
    return place, bool(package)
