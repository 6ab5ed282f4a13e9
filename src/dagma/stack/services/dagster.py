"""Dagster: the user code over gRPC, the webserver and the daemon, on one instance.

The database `analytics` is for tables of assets and dbt; it begins empty and has no schema of ours.
"""

import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from dagma import values
from dagma.errors import PreflightError
from dagma.private import write_private
from dagma.stack.fields import STACK, Part, setting
from dagma.stack.layout import Layout
from dagma.stack.service import Application, Process, Service, Tree, database_url

if TYPE_CHECKING:
    from dagma.stack.settings import Settings

#: What Dagster stores outputs with where code binds no IO manager: pickles still, but in one place
#: that run config cannot move.
IO_MANAGER = {
    "DAGSTER_DEFAULT_IO_MANAGER_MODULE": "dagma.kit.io.files",
    "DAGSTER_DEFAULT_IO_MANAGER_ATTRIBUTE": "pickles",
}
#: A log larger than this, in bytes, starts anew at the next start; the old one is kept once.
LARGEST_LOG = 10_000_000
#: Dagster's configuration, in DAGSTER_HOME.
_INSTANCE = ("dagster.yaml", "workspace.yaml")
#: What the second is where the user code is asked to listen on a port.
_WITH_PORT = {"workspace.yaml": "workspace-port.yaml"}
_MARK = "# Written by dagma, sha256 "
_DAEMON = ("daemon",)
_PROCESSES = ("user_code", "webserver", "daemon")


class DagsterSettings(Part):
    """What a user can set about Dagster."""

    dagster_home: values.InstanceDirectory | None = setting(
        "DAGSTER_HOME",
        None,
        "Directory of Dagster's instance.",
        "DAGMA_HOME/dagster",
        taken_by=STACK,
    )
    webserver_port: values.Port = setting(
        "DAGSTER_WEBSERVER_PORT", 3000, "Port of Dagster's web interface.", taken_by=STACK
    )
    user_code_port: values.Port | None = setting(
        "USER_CODE_PORT",
        None,
        "Port of the user code's gRPC server on loopback; who reaches it runs code through it.",
        "none, but a socket in DAGMA_HOME",
        taken_by=STACK,
    )
    code_module: values.Module = setting(
        "DAGMA_CODE_MODULE",
        "dagma.definitions",
        "Python module of your Dagster definitions; the current directory is importable.",
        taken_by=STACK,
    )
    max_concurrent_runs: values.Count = setting(
        "DAGMA_MAX_CONCURRENT_RUNS",
        4,
        "Dagster runs at one time; the others wait in the queue.",
        taken_by=_DAEMON,
    )
    keep_ticks_skipped: values.Days = setting(
        "DAGMA_KEEP_TICKS_SKIPPED_DAYS",
        7,
        "Age at which Dagster removes ticks of schedules and sensors that did nothing.",
        taken_by=_DAEMON,
    )
    keep_ticks_failed: values.Days = setting(
        "DAGMA_KEEP_TICKS_FAILED_DAYS",
        30,
        "Age at which Dagster removes ticks that failed.",
        taken_by=_DAEMON,
    )
    keep_ticks: values.Days = setting(
        "DAGMA_KEEP_TICKS_DAYS",
        90,
        "Age at which Dagster removes ticks that started something.",
        taken_by=_DAEMON,
    )
    user_code_image: values.Text | None = setting(
        "USER_CODE_IMAGE", None, "Container image that holds the user code.", "none"
    )
    current_image: values.Text | None = setting(
        "DAGSTER_CURRENT_IMAGE", None, "Container image noted on each run.", "USER_CODE_IMAGE"
    )


def home(settings: "Settings") -> Path:
    """DAGSTER_HOME."""
    return settings.dagster_home or settings.home / "dagster"


class Dagster(Service):
    """Three processes that share an instance and its database."""

    name = "dagster"
    page = "code-location.md"
    own = ("USER_CODE_",)
    products = {"DAGSTER_": _PROCESSES}  # noqa: RUF012 - typed in Service
    made = frozenset({"DAGMA_USER_CODE_HOST", "DAGMA_USER_CODE_SOCKET", "DAGMA_POSTGRES_URL"})
    distributions = ("dagster",)
    processes = (
        Process("user_code", "", ("user_code_port",), loopback=True, programs=("dagster",)),
        Process(
            "webserver",
            "http://{web}:{s.webserver_port}",
            ("webserver_port",),
            programs=("dagster-webserver",),
            page="door",
        ),
        Process(
            "daemon",
            "http://{web}:{s.webserver_port}/deployment/daemons",
            programs=("dagster-daemon",),
        ),
    )
    trees = (Tree("dagster", "Dagster's storage and logs", home, "dagster_home"),)
    measured = ("dagster", "files of assets and logs of steps")

    def url(self, process: Process, settings: "Settings") -> str:
        """Of the user code its port, or its socket."""
        if process.name != "user_code":
            return super().url(process, settings)
        port = settings.user_code_port
        socket = Layout.of(settings).user_code_socket
        return f"grpc://127.0.0.1:{port}" if port else f"unix:{socket}"

    def directories(self, settings: "Settings") -> list[Path]:
        """That of the instance."""
        return [home(settings)]

    def prepare(self, settings: "Settings") -> list[str]:
        """Renew Dagster's two files, unless the user has edited them; a large log begins anew.

        Raises:
            PreflightError: Dagster's processes would not start with an edited one.
        """
        _rotate(Layout.of(settings).log("user_code"))
        instead = _WITH_PORT if settings.user_code_port else {}
        notes = []
        for name in _INSTANCE:
            original = resources.files("dagma.instance") / instead.get(name, name)
            body = original.read_text(encoding="utf-8")
            target = home(settings) / name
            if target.exists() and not _ours(target.read_text(encoding="utf-8")):
                notes.append(f"{target} has been edited and is used as it is.")
                _agrees(target, asks_for_port=bool(instead))
                continue
            write_private(target, f"{_MARK}{_digest(body)}\n{body}")
        return notes

    def applications(self, settings: "Settings") -> list[Application]:
        """Its instance's, and that of assets' tables."""
        instance = Application(
            name="dagster",
            distribution="dagster",
            role=settings.postgres_user,
            database=settings.postgres_db,
            migrate=("dagster", "instance", "migrate"),
            scripts="dagster:_core/storage/alembic",
            processes=_PROCESSES,
        )
        return [instance, Application("analytics", None, "analytics", "analytics")]

    def exports(
        self, settings: "Settings", running: list[str], environ: Mapping[str, str]
    ) -> dict[str, str]:
        """Where the instance, its database, and the user code are."""
        url = database_url(settings, settings.postgres_user, settings.postgres_db)
        exported = {
            "DAGSTER_HOME": str(home(settings)),
            "DAGMA_POSTGRES_URL": url,
            "DAGMA_USER_CODE_HOST": "127.0.0.1",
            # As gRPC reads paths.
            "DAGMA_USER_CODE_SOCKET": quote(str(Layout.of(settings).user_code_socket)),
        }
        if image := settings.current_image or settings.user_code_image:
            exported["DAGSTER_CURRENT_IMAGE"] = image
        if settings.analytics_url is None:
            exported["DAGMA_ANALYTICS_URL"] = database_url(settings, "analytics", "analytics")
        return exported | {name: environ.get(name, value) for name, value in IO_MANAGER.items()}


def unedited(path: Path) -> bool:
    """Whether it is one of Dagster's two files as Dagma wrote it."""
    return (
        path.name in _INSTANCE
        and path.is_file()
        and _ours(path.read_text(encoding="utf-8", errors="replace"))
    )


def _agrees(target: Path, asks_for_port: bool) -> None:
    """Refuse a file of before the user code had a socket, unless the port in it is given.

    Raises:
        PreflightError: Dagster's processes would not start with it.
    """
    if "USER_CODE_PORT" in target.read_text(encoding="utf-8") and not asks_for_port:
        raise PreflightError(
            f"{target} has been edited and names USER_CODE_PORT, which is not set: set it, or put "
            "`socket: {env: DAGMA_USER_CODE_SOCKET}` in the place of `host` and `port`."
        )


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))


def _ours(text: str) -> bool:
    head, _, body = text.partition("\n")
    return head == _MARK + _digest(body)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
