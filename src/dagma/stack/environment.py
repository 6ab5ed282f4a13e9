"""What the services find in their environment."""

import json
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from dagma.stack import access, services, source, started, topology
from dagma.stack.layout import Layout
from dagma.stack.service import probe_host, text
from dagma.stack.settings import HANDED_DOWN, Loaded, Settings, secrets, table

#: Set on the supervisor, and by the topology on every service: whose process it is.
MARKER = "DAGMA_SUPERVISED"

#: What `dagma env` added to a shell: a JSON object, name -> value.
NOTE = "DAGMA_ENV"

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROXY_EXCEPTIONS = ("NO_PROXY", "no_proxy", "no_grpc_proxy")
_FIXED = {"PYTHONUNBUFFERED": "1"}

#: Names of what Dagma makes beside the settings.
MADE = {*HANDED_DOWN, *_PROXY_EXCEPTIONS, *_FIXED, "PATH", "PYTHONPATH"}


def of_services(loaded: Loaded, names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of process-compose and so of every service.

    Left out of what the user has: secrets, and PC_* variables, which would change how
    process-compose itself works (its port, its files, its interface).
    """
    inherited = {k: v for k, v in environ.items() if not k.startswith("PC_")}
    made = exports(loaded, names, environ)
    whole = inherited | made | {MARKER: str(loaded.settings.home)}
    hidden = secrets()
    return {name: value for name, value in whole.items() if name not in hidden}


def of_start(
    loaded: Loaded,
    names: Iterable[str],
    environ: Mapping[str, str],
    former: Mapping[str, str],
) -> dict[str, str]:
    """What is renewed for a service at each of its starts: settings, code and its packages.

    Args:
        loaded: The settings of this command.
        names: The processes of the stack.
        environ: This command's environment.
        former: What the service was started with before.
    """
    code = {
        started.PROGRAMS: str(Path(sys.executable).parent),
        started.CODE: source.digest(),
        started.DAGSTER: version("dagster"),
        started.REVISION: environ.get(started.REVISION, ""),
    }
    path = source.python_path(environ, former.get("PYTHONPATH", ""))
    return exports(loaded, names, environ) | code | ({"PYTHONPATH": path} if path else {})


def exports(loaded: Loaded, names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """What Dagma adds to the user's environment; no secret among it."""
    settings, running = loaded.settings, list(names)
    extra = {name: environ.get(name, value) for name, value in loaded.extra.items()}
    users = {**extra, **environ}
    made = extra | _set(settings) | _addresses(settings, running)
    for service in services.ALL:
        made |= service.exports(settings, running, users)
    return made | _proxy_exceptions(settings, users) | _FIXED


def client(settings: Settings) -> dict[str, str]:
    """Variables with which plain `psql` shows the runs, and plain `process-compose` is ours."""
    layout = Layout.of(settings)
    return {
        "PC_CONFIG_FILES": str(topology.path()),
        "PC_SOCKET_PATH": str(layout.control_socket),
        "PC_LOG_FILE": str(layout.log("process-compose")),
        "PC_DISABLE_DOTENV": "1",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(settings.postgres_port),
        "PGUSER": settings.postgres_user,
        "PGDATABASE": settings.postgres_db,
        "PGPASSFILE": str(layout.pgpass),
    }


def note(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """What of an export is not the user's own, as a variable for `exported_by_dagma`.

    Not noted is DAGMA_HOME: the commands find the stack from any directory of that shell.
    """
    added = {k: v for k, v in values.items() if k not in environ and k != "DAGMA_HOME"}
    return {NOTE: json.dumps(added)}


def exported_by_dagma(environ: Mapping[str, str]) -> list[str]:
    """Variables of a shell that are only there because it evaluated `dagma env`, and unchanged.

    They hold what `.env` said then; a command goes by what it says now.
    """
    noted: dict[str, str] = json.loads(environ.get(NOTE, "{}"))
    return [name for name, value in noted.items() if environ.get(name) == value]


def _set(settings: Settings) -> dict[str, str]:
    """Every setting that has a value, as text; secrets are handed out in files only."""
    values = settings.model_dump(by_alias=True, exclude_none=True)
    hidden = secrets()
    return {n: text(values[n]) for n in table() if n in values and n not in hidden}


def _addresses(settings: Settings, running: list[str]) -> dict[str, str]:
    layout = Layout.of(settings)
    derived = {
        "DAGMA_SERVICES": ",".join(running),
        "DAGMA_PROBE_HOST": probe_host(settings),
        "DAGMA_TOKEN_FILE": str(layout.token) if access.needs_token(settings) else "",
        "DAGMA_INBOX": str(layout.inbox(settings)),
        "DAGMA_PUBLIC_URL": settings.public_url or topology.url("webserver", settings),
    }
    if settings.webhook_url:
        derived["DAGMA_WEBHOOK_URL_FILE"] = str(layout.webhook_url)
    return derived


def _proxy_exceptions(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Traffic inside the stack never goes to the machine's proxy."""
    found = {}
    for name in _PROXY_EXCEPTIONS:
        kept = [part for part in environ.get(name, "").split(",") if part]
        added = [host for host in (*_LOOPBACK, settings.host) if host not in kept]
        found[name] = ",".join(dict.fromkeys(kept + added))
    return found
