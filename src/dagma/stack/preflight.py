"""What must hold before anything is started or written: each failure is one sentence."""

import errno
import os
import socket
from pathlib import Path

from dagma.errors import PreflightError
from dagma.stack import access, disk, topology
from dagma.stack.layout import LONGEST_SOCKET, Layout
from dagma.stack.services import dagster
from dagma.stack.settings import Settings


def state_directory(settings: Settings) -> None:
    """The state directory can be written, has room, and its sockets' paths are short enough.

    Raises:
        PreflightError: If not.
    """
    layout = Layout.of(settings)
    longest = max(
        len(os.fsencode(path))
        for path in (
            layout.control_socket,
            layout.postgres_socket / ".s.PGSQL.65535",
            layout.code_sockets / "tmpxxxxxxxx",  # of the process that has loaded the code
        )
    )
    if longest > LONGEST_SOCKET:
        raise PreflightError(
            f"DAGMA_HOME is {str(settings.home)!r}, {longest - LONGEST_SOCKET} bytes too long for "
            "the sockets in it: choose a shorter path."
        )
    for name, path in (("DAGMA_HOME", settings.home), ("DAGSTER_HOME", dagster.home(settings))):
        if problem := _unwritable(path):
            raise PreflightError(f"{name} is {str(path)!r}, but {problem}.")
    if problem := disk.full(layout.postgres):
        raise PreflightError(problem)


def _unwritable(path: Path) -> str | None:
    place = disk.existing(path)
    if not place.is_dir():
        return f"{place} is not a directory"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} cannot be written"
    return None


def corpus(settings: Settings) -> str | None:
    """One line about a corpus that is not there; a run would fail only later."""
    named = settings.recipes_source
    if named is None or Path(named).expanduser().exists():
        return None
    return f"RECIPES_SOURCE is {named!r}, where nothing is: runs of raw_recipes will fail."


def programs(names: list[str]) -> None:
    """All programs are there, and process-compose is of a version that is supported.

    Raises:
        PreflightError: If not.
    """
    if missing := topology.missing_programs(names):
        raise PreflightError(
            f"Not on PATH: {', '.join(missing)}; start with `./nixw run .#stack` or in `nix develop`."
        )
    version = topology.process_compose_version()
    oldest, too_new = topology.OLDEST_PROCESS_COMPOSE, topology.TOO_NEW_PROCESS_COMPOSE
    if not oldest <= version < too_new:
        shown, first, end = (".".join(map(str, v)) for v in (version, oldest, too_new))
        raise PreflightError(
            f"process-compose on PATH is {shown}; {first} or newer, below {end}, is supported: "
            "start with `./nixw run .#stack`, which brings one."
        )


def ports(settings: Settings, name: str) -> None:
    """The ports of a service are free.

    Raises:
        PreflightError: One is taken, or the address is not of this machine.
    """
    service = topology.SERVICES[name]
    host = "127.0.0.1" if service.loopback else settings.host
    for attribute in service.ports:
        setting = str(Settings.model_fields[attribute].alias)
        port = getattr(settings, attribute)
        if port is not None:
            _bindable(host, port, setting)


def exposure(settings: Settings) -> str | None:
    """What to say while others than this machine are served; None otherwise."""
    if settings.host.startswith("127."):
        return None
    if access.needs_token(settings):
        return (
            f"DAGMA_HOST is {settings.host}: the token, and all else, cross the network unencrypted; "
            "put a proxy with TLS in front."
        )
    return (
        f"DAGMA_HOST is {settings.host}: whoever reaches it uses the web interfaces unasked, and runs "
        "code through them."
    )


def _bindable(host: str, port: int, setting: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise PreflightError(_why_not(host, port, setting, error)) from error


def _why_not(host: str, port: int, setting: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{setting} is {port}, but that port of {host} is taken: stop what uses it or choose another."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"DAGMA_HOST is {host!r}, which is no address of this machine."
    if error.errno == errno.EACCES:
        return f"{setting} is {port}, which only root may use: choose one above 1023."
    return f"{setting} is {port}, which cannot be used: {error.strerror}."
