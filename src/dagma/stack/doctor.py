"""`dagma doctor`: what could keep the stack from working, one line each, with what to do."""

import os
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import psutil

from dagma.errors import PreflightError
from dagma.stack import changes, disk, preflight, services, supervisor, topology
from dagma.stack.control import Stack
from dagma.stack.service import Finding
from dagma.stack.settings import Settings

#: Bytes below which the stack is likely to run out: a cluster with logs, and five services.
LITTLE_DISK, LITTLE_MEMORY = 2_000_000_000, 1_500_000_000

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def examine(stack: Stack) -> list[Finding]:
    """Look at everything; changes nothing."""
    names, _ = topology.members("full", stack.settings)
    return [
        *_versions(),
        _programs(names),
        _process_compose(),
        _state(stack.settings),
        *_files(stack),
        *_ports(stack, names),
        _proxies(),
        *(finding for service in services.ALL for finding in service.examine(stack)),
        *_corpus(stack.settings),
        _exposure(stack.settings),
        _disk(stack.settings),
        _memory(),
    ]


def _versions() -> list[Finding]:
    parts = [f"Python {platform.python_version()}"]
    of_services = [name for service in services.ALL for name in service.distributions]
    for name in ("dagma", *of_services, "SQLAlchemy"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} (no metadata)")
    return [Finding("OK", f"{platform.system()} {platform.machine()}, {', '.join(parts)}.")]


def _holds(check: Callable[[], object], fine: str) -> Finding:
    """FAIL with the check's own sentence, or OK."""
    try:
        check()
    except PreflightError as error:
        return Finding("FAIL", str(error))
    return Finding("OK", fine)


def _programs(names: list[str]) -> Finding:
    missing = topology.missing_programs(names)
    if missing:
        fix = "start with `./nixw run .#dagma -- doctor` or in `nix develop`"
        return Finding("FAIL", f"Not on PATH: {', '.join(missing)}; {fix}.")
    return Finding("OK", f"All programs are on PATH (postgres: {shutil.which('postgres')}).")


def _process_compose() -> Finding:
    if shutil.which("process-compose") is None:
        return Finding("WARN", "process-compose cannot be asked for its version.")
    return _holds(lambda: preflight.programs([]), "process-compose is of a supported version.")


def _state(settings: Settings) -> Finding:
    return _holds(
        lambda: preflight.state_directory(settings), f"{settings.home} can hold the state."
    )


def _files(stack: Stack) -> list[Finding]:
    """What a killed stack leaves behind."""
    if stack.running():
        fine = Finding("OK", "The stack is running.")
        return [fine, *(Finding("WARN", line) for line in changes.find(stack).lines())]
    findings = []
    if stack.layout.control_socket.exists():
        text = f"{stack.layout.control_socket} is left from a killed stack; `dagma up` replaces it."
        findings.append(Finding("WARN", text))
    if orphans := supervisor.members(stack.settings.home):
        text = f"{len(orphans)} processes are left from a killed stack; `dagma down` ends them."
        findings.append(Finding("WARN", text))
    return findings or [Finding("OK", "The stack is not running, and nothing is left of it.")]


def _ports(stack: Stack, names: list[str]) -> list[Finding]:
    if stack.running():
        return []
    return [
        _holds(
            lambda name=name: preflight.ports(stack.settings, name),  # type: ignore[misc]
            f"The port of {name} is free.",
        )
        for name in names
        if any(getattr(stack.settings, port) for port in topology.SERVICES[name].ports)
    ]


def _proxies() -> Finding:
    found = [name for name in _PROXIES if os.environ.get(name)]
    if not found:
        return Finding("OK", "No proxy is set.")
    return Finding("OK", f"{', '.join(found)} are set; loopback traffic is kept off the proxy.")


def _corpus(settings: Settings) -> list[Finding]:
    missing = preflight.corpus(settings)
    return [Finding("WARN", missing)] if missing else []


def _exposure(settings: Settings) -> Finding:
    exposed = preflight.exposure(settings)
    return Finding("WARN", exposed) if exposed else Finding("OK", "All listens on loopback only.")


def _disk(settings: Settings) -> Finding:
    place = disk.existing(settings.home)
    free = shutil.disk_usage(place).free
    return _enough(free, LITTLE_DISK, f"disk space at {place}", "free some or move DAGMA_HOME")


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    return _enough(free, LITTLE_MEMORY, "memory", "close something or start the group minimal")


def _enough(free: int, little: int, what: str, fix: str) -> Finding:
    amount = f"{free / 1e9:.1f} GB of {what}"
    if free < little:
        return Finding("WARN", f"Only {amount} are free; {fix}.")
    return Finding("OK", f"{amount} are free.")
