"""With what each service is started: a file per service that its command in the topology sources.

The supervisor's own environment stays what it was at `dagma up`. What has changed since, settings and
code, reaches a service by its file, at its next start, whatever causes that. The code server's child,
which loads the user's code, is started by a program that sources the file anew: so a reload brings it
the code and the settings of the command that reloads, runs in progress keep what they began with, and
no service ends.
"""

import shlex
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from dagma.private import write_private

#: Below DAGMA_HOME.
FOLDER = "run/started"
#: The service whose code is reloaded, and, beside the files, the interpreter of its child.
USER_CODE = "user_code"
INTERPRETER = "python"
#: What a file says about the code: where its programs are, what it is known by, which Dagster it has.
PROGRAMS, CODE, DAGSTER = "DAGMA_PROGRAMS", "DAGMA_CODE", "DAGMA_DAGSTER"
#: And of which commit it is, where Nix built it from a repository.
REVISION = "DAGMA_REVISION"
_HEAD = "# With what a service is started: written by dagma, sourced by its command.\n"


def interpreter(home: Path) -> Path:
    """The program that is Python with the latest code and settings of the user code."""
    return home / FOLDER / INTERPRETER


def file(home: Path, service: str) -> Path:
    """What a service's command sources."""
    return home / FOLDER / service


def begin(home: Path, services: Iterable[str], values: Mapping[str, str]) -> None:
    """Give all services of a stack that is not running the same variables; former files are gone."""
    shutil.rmtree(home / FOLDER, ignore_errors=True)
    first, *others = services
    write(home, first, values)
    for service in others:
        file(home, service).hardlink_to(file(home, first))
    _write_interpreter(home)


def read(home: Path, service: str) -> dict[str, str]:
    """The variables that a service has, or would be started with; none where it never was."""
    return _parsed(file(home, service))[0]


def write(home: Path, service: str, values: Mapping[str, str]) -> None:
    """Give a service variables for its next start; others that it had are taken away.

    Args:
        home: The state directory.
        service: The service, or `init`.
        values: The variables; PROGRAMS among them.
    """
    _write(file(home, service), _text(home, service, values))


def candidate(home: Path, service: str, values: Mapping[str, str]) -> Path:
    """A file beside that of the service, to be tried before it takes its place."""
    target = file(home, f"{service}.candidate")
    _write(target, _text(home, service, values))
    return target


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(target, text)


def _text(home: Path, service: str, values: Mapping[str, str]) -> str:
    had, had_not = _parsed(file(home, service))
    gone = sorted((had.keys() | had_not) - values.keys())  # the supervisor may still have them
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())]
    lines += [f"unset {name}\n" for name in gone]
    return "".join([_HEAD, *lines, f'export "PATH=${PROGRAMS}:$PATH"\n'])


def _parsed(path: Path) -> tuple[dict[str, str], set[str]]:
    """What a file sets, and the names that it takes away."""
    words: list[str] = []
    with suppress(FileNotFoundError):
        words = shlex.split(path.read_text(encoding="utf-8").removeprefix(_HEAD))
    given, gone = {}, set()
    for verb, argument in zip(words[::2], words[1::2], strict=True):
        name, _, value = argument.partition("=")
        if verb == "unset":
            gone.add(name)
        elif name != "PATH":
            given[name] = value
    return given, gone


def _write_interpreter(home: Path) -> None:
    shell = shutil.which("bash") or "/bin/sh"
    sourced = shlex.quote(str(file(home, USER_CODE)))
    write_private(interpreter(home), f'#!{shell}\n. {sourced} && exec python "$@"\n')
    interpreter(home).chmod(0o700)
