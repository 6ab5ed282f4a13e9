"""The topology, ``process-compose.yaml``: its processes, by name and group, and where the file is."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from dagma.errors import PreflightError
from dagma.stack import services
from dagma.stack.service import GROUPS as GROUP_NAMES
from dagma.stack.settings import Settings

#: The oldest process-compose that understands the topology, and the first that may not: the checks
#: `stack` and `twin-process-compose` (nix/) run on 1.87 and on the newest to be had.
OLDEST_PROCESS_COMPOSE = (1, 87)
TOO_NEW_PROCESS_COMPOSE = (2,)

#: The one-shot that prepares databases before the services that need them.
INIT = "init"
#: How its lines about databases of other versions begin, which `dagma up` passes on.
UPGRADE = "Upgrade: "


#: The processes that a user sees, in the order in which they are shown.
SERVICES = {name: process for name, (process, _) in services.PROCESSES.items()}

#: What a user may ask for, by name, and the processes in it.
GROUPS = {
    group: tuple(
        process.name
        for service in services.ALL
        if group in service.groups
        for process in service.processes
    )
    for group in GROUP_NAMES
}


def url(name: str, settings: Settings) -> str:
    """Where a user finds a process."""
    process, service = services.PROCESSES[name]
    return service.url(process, settings)


def members(group: str, settings: Settings) -> tuple[list[str], str | None]:
    """The processes of a group that have something to do and that this machine can run.

    The other part is lines about those that it cannot run.

    Raises:
        PreflightError: There is no such group.
    """
    if group not in GROUPS:
        raise PreflightError(f"There is no group {group!r}; choose one of {', '.join(GROUPS)}.")
    names, notes = [], []
    for service in services.ALL:
        if group not in service.groups or not service.wanted(settings):
            continue
        if missing := service.missing(settings):
            notes.append(missing)
        else:
            names += [process.name for process in service.processes]
    return names, "\n".join(notes) or None


def path() -> Path:
    """The topology: beside the installed package, or at the root of a source checkout.

    Raises:
        PreflightError: It is in neither place.
    """
    packaged = Path(str(resources.files("dagma"))) / "process-compose.yaml"
    checkout = Path(__file__).resolve().parents[3] / "process-compose.yaml"
    for candidate in (packaged, checkout):
        if candidate.is_file():
            return candidate
    raise PreflightError(f"process-compose.yaml is missing; it was looked for at {packaged}.")


def missing_programs(names: Iterable[str]) -> list[str]:
    """Programs of these services that are not on PATH."""
    wanted = ["process-compose", *(p for name in names for p in SERVICES[name].programs)]
    return [program for program in wanted if shutil.which(program) is None]


def process_compose_version() -> tuple[int, ...]:
    """The version of process-compose on PATH.

    Raises:
        PreflightError: It does not say one.
    """
    asked = subprocess.run(
        ["process-compose", "version", "--short"], capture_output=True, text=True, check=False
    )
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", asked.stdout)
    if not found:
        raise PreflightError("process-compose on PATH does not tell its version; is it damaged?")
    return tuple(int(part) for part in found.groups())
