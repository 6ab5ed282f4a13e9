"""The services of ``process-compose.yaml``: names, groups, addresses, and where the file is."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dagma.errors import PreflightError
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings

#: The oldest process-compose that understands the topology, and the first that may not: the checks
#: `stack` and `twin-process-compose` (nix/) run on 1.87 and on the newest to be had.
OLDEST_PROCESS_COMPOSE = (1, 87)
TOO_NEW_PROCESS_COMPOSE = (2,)

#: The one-shot that prepares databases before the services that need them.
INIT = "init"
#: How its lines about databases of other versions begin, which `dagma up` passes on.
UPGRADE = "Upgrade: "


@dataclass(frozen=True)
class Service:
    """What the command line has to know about one process of the topology.

    Attributes:
        name: Its name in ``process-compose.yaml``.
        url: Where a user finds it, or when; a format string over the settings, ``web``, the host, and
            ``code``, where the user code listens.
        ports: The settings that hold its ports.
        loopback: It listens on 127.0.0.1 whatever DAGMA_HOST says.
        programs: What has to be on PATH.
    """

    name: str
    url: str
    ports: tuple[str, ...] = ()
    loopback: bool = False
    programs: tuple[str, ...] = ()


SERVICES = {
    service.name: service
    for service in (
        Service(
            "postgres",
            "postgresql://{s.postgres_user}@127.0.0.1:{s.postgres_port}/{s.postgres_db}",
            ("postgres_port",),
            loopback=True,
            programs=("postgres", "initdb", "pg_isready"),
        ),
        Service(
            "user_code",
            "{code}",
            ("user_code_port",),
            loopback=True,
            programs=("dagster",),
        ),
        Service(
            "webserver",
            "http://{web}:{s.webserver_port}",
            ("webserver_port",),
            programs=("dagster-webserver",),
        ),
        Service(
            "daemon",
            "http://{web}:{s.webserver_port}/deployment/daemons",
            programs=("dagster-daemon",),
        ),
        Service("mlflow", "http://{web}:{s.mlflow_port}", ("mlflow_port",), programs=("mlflow",)),
        Service("qdrant", "http://{web}:{s.qdrant_port}", ("qdrant_port", "qdrant_grpc_port")),
        Service("maintenance", "daily at {s.maintenance_at} {s.timezone}"),
    )
}

_MINIMAL = ("postgres", "user_code", "webserver", "daemon")
#: What a user may ask for, by name; all have maintenance, where the settings leave it something to do.
GROUPS = {
    "minimal": (*_MINIMAL, "maintenance"),
    "data": (*_MINIMAL, "mlflow", "maintenance"),
    "vector": (*_MINIMAL, "qdrant", "maintenance"),
    "ml": (*_MINIMAL, "mlflow", "qdrant", "maintenance"),
    "full": tuple(SERVICES),
}


def probe_host(settings: Settings) -> str:
    """Where this machine reaches the web interfaces."""
    return "127.0.0.1" if settings.host == "0.0.0.0" else settings.host


def url(service: str, settings: Settings) -> str:
    """Where a user finds a service; of Qdrant the dashboard, where its files are there."""
    port, layout = settings.user_code_port, Layout.of(settings)
    code = f"grpc://127.0.0.1:{port}" if port else f"unix:{layout.user_code_socket}"
    found = SERVICES[service].url.format(s=settings, web=probe_host(settings), code=code)
    page = layout.qdrant_web_ui(settings) / "index.html"
    return f"{found}/dashboard" if service == "qdrant" and page.is_file() else found


def qdrant_program(settings: Settings) -> str | None:
    """The Qdrant server, if this machine has one.

    Raises:
        PreflightError: DAGMA_QDRANT_BIN names no program.
    """
    if settings.qdrant_bin is None:
        return shutil.which("qdrant")
    found = shutil.which(settings.qdrant_bin)
    if found is None:
        raise PreflightError(
            f"DAGMA_QDRANT_BIN is {str(settings.qdrant_bin)!r}, which is not an executable file."
        )
    return found


def members(group: str, settings: Settings) -> tuple[list[str], str | None]:
    """The services of a group that have something to do and that this machine can run.

    The other part is a line about those that it cannot run.

    Raises:
        PreflightError: There is no such group.
    """
    if group not in GROUPS:
        raise PreflightError(f"There is no group {group!r}; choose one of {', '.join(GROUPS)}.")
    names = [name for name in GROUPS[group] if name != "maintenance" or settings.daily]
    if "qdrant" not in names or qdrant_program(settings):
        return names, None
    names.remove("qdrant")
    note = (
        "qdrant is left out: there is no qdrant program on PATH or in DAGMA_QDRANT_BIN; "
        "assets use the embedded engine in QDRANT_PATH."
    )
    return names, note


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
