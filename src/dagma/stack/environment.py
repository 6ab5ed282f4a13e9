"""What the services find in their environment."""

import json
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from dagma.stack import access, source, started, topology
from dagma.stack.layout import Layout
from dagma.stack.settings import HANDED_DOWN, Loaded, Settings, secrets, table

#: Set on the supervisor, and by the topology on every service: whose process it is.
MARKER = "DAGMA_SUPERVISED"

#: What `dagma env` added to a shell: a JSON object, name -> value.
NOTE = "DAGMA_ENV"

#: How often MLflow's client tries again. Four times take half a minute, enough for a restart; with
#: its own default it takes four minutes to see that a server is gone.
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"

#: What Dagster stores outputs with where code binds no IO manager: pickles still, but in one place
#: that run config cannot move.
_IO_MANAGER = {
    "DAGSTER_DEFAULT_IO_MANAGER_MODULE": "dagma.kit.io.files",
    "DAGSTER_DEFAULT_IO_MANAGER_ATTRIBUTE": "pickles",
}

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROXY_EXCEPTIONS = ("NO_PROXY", "no_proxy", "no_grpc_proxy")
_FIXED = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1"}

#: With what MLflow's client shows the token, where one is asked for.
_TOKEN_SHOWN = "MLFLOW_TRACKING_AUTH"

#: Names of what Dagma makes beside the settings.
MADE = {*HANDED_DOWN, *_PROXY_EXCEPTIONS, *_FIXED, _RETRIES, _TOKEN_SHOWN, "PATH", "PYTHONPATH"}


def of_services(
    loaded: Loaded, services: Iterable[str], environ: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of process-compose and so of every service.

    Left out of what the user has: secrets, and PC_* variables, which would change how
    process-compose itself works (its port, its files, its interface).
    """
    inherited = {k: v for k, v in environ.items() if not k.startswith("PC_")}
    made = exports(loaded, services, environ)
    whole = inherited | made | {MARKER: str(loaded.settings.home)}
    return {name: value for name, value in whole.items() if name not in secrets()}


def of_start(
    loaded: Loaded,
    services: Iterable[str],
    environ: Mapping[str, str],
    former: Mapping[str, str],
) -> dict[str, str]:
    """What is renewed for a service at each of its starts: settings, code and its packages.

    Args:
        loaded: The settings of this command.
        services: The services of the stack.
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
    return exports(loaded, services, environ) | code | ({"PYTHONPATH": path} if path else {})


def exports(loaded: Loaded, services: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """What Dagma adds to the user's environment; no secret among it."""
    settings = loaded.settings
    extra = {name: environ.get(name, value) for name, value in loaded.extra.items()}
    return (
        extra
        | _set(settings)
        | _addresses(settings, list(services))
        | _proxy_exceptions(settings, {**extra, **environ})
        | _FIXED
        | {_RETRIES: {**extra, **environ}.get(_RETRIES, "4")}
        | {n: {**extra, **environ}.get(n, default) for n, default in _IO_MANAGER.items()}
    )


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
    return {n: _text(values[n]) for n in table() if n in values and n not in secrets()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _addresses(settings: Settings, services: list[str]) -> dict[str, str]:
    layout = Layout.of(settings)
    image = settings.current_image or settings.user_code_image
    derived = {
        "DAGMA_SERVICES": ",".join(services),
        "DAGMA_PROBE_HOST": topology.probe_host(settings),
        "DAGMA_USER_CODE_HOST": "127.0.0.1",
        "DAGMA_USER_CODE_SOCKET": quote(str(layout.user_code_socket)),  # as gRPC reads paths
        "DAGMA_POSTGRES_URL": database_url(settings, settings.postgres_user, settings.postgres_db),
        "MLFLOW_BACKEND_STORE_URI": database_url(settings, "mlflow", "mlflow"),
        "DAGMA_WITHOUT_QDRANT": _text("qdrant" not in services),
        "DAGMA_WITHOUT_MAINTENANCE": _text("maintenance" not in services),
        "DAGMA_DAILY": " ".join(settings.daily),
        "DAGMA_QDRANT_PROGRAM": topology.qdrant_program(settings) or "qdrant",
        "DAGSTER_HOME": str(layout.dagster(settings)),
        "QDRANT_PATH": str(layout.qdrant_embedded(settings)),
        "DAGMA_TOKEN_FILE": "",
        "DAGMA_QDRANT_CONFIG": str(layout.qdrant_config),
        "DAGMA_INBOX": str(layout.inbox(settings)),
        "DAGMA_PUBLIC_URL": settings.public_url or topology.url("webserver", settings),
    }
    if access.needs_token(settings):
        derived |= {"DAGMA_TOKEN_FILE": str(layout.token), _TOKEN_SHOWN: "dagma"}
    if settings.webhook_url:
        derived["DAGMA_WEBHOOK_URL_FILE"] = str(layout.webhook_url)
    if image:
        derived["DAGSTER_CURRENT_IMAGE"] = image
    return derived | _own_servers(settings, services)


def _own_servers(settings: Settings, services: list[str]) -> dict[str, str]:
    """Addresses of the stack's own servers, where the user named no others, and their use."""
    host = topology.probe_host(settings)
    servers = {}
    if settings.analytics_url is None:
        servers["DAGMA_ANALYTICS_URL"] = database_url(settings, "analytics", "analytics")
    if "mlflow" in services and settings.mlflow_tracking_uri is None:
        servers["MLFLOW_TRACKING_URI"] = f"http://{host}:{settings.mlflow_port}"
    if settings.mlflow_use_tracking is None:
        there_is_one = "mlflow" in services or settings.mlflow_tracking_uri is not None
        servers["MLFLOW_USE_TRACKING"] = _text(there_is_one)
    if "qdrant" in services and settings.qdrant_url is None:
        servers["QDRANT_URL"] = f"http://{host}:{settings.qdrant_port}"
    return servers


def database_url(settings: Settings, role: str, database: str) -> str:
    """SQLAlchemy URL without a password; the driver is named, since SQLAlchemy 2.1 assumes another."""
    passfile = quote(str(Layout.of(settings).pgpass), safe="/")
    port = settings.postgres_port
    return f"postgresql+psycopg2://{role}@127.0.0.1:{port}/{database}?passfile={passfile}"


def _proxy_exceptions(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Traffic inside the stack never goes to the machine's proxy."""
    found = {}
    for name in _PROXY_EXCEPTIONS:
        kept = [part for part in environ.get(name, "").split(",") if part]
        added = [host for host in (*_LOOPBACK, settings.host) if host not in kept]
        found[name] = ",".join(dict.fromkeys(kept + added))
    return found
