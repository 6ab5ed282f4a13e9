"""The one table of settings: name, type, default, help.

Values come from the environment and from ``.env`` in the current directory; the environment wins.
Values are literal: ``$`` has no meaning. ``.env.example``, ``docs/settings.md`` and the messages
are made from this table or compared with it by a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

from dagma import values
from dagma.errors import SettingsError
from dagma.stack import dotenv_file


def _setting(name: str, default: object, help_: str, shown: str | None = None) -> Any:  # noqa: ANN401 - what pydantic's Field returns, so that any type can be declared
    """Declare one setting.

    Args:
        name: Environment variable.
        default: Value when the variable is not set; None means worked out from other settings.
        help_: One line for the documentation.
        shown: How the documentation writes a default that is worked out.
    """
    return Field(default, alias=name, description=help_, json_schema_extra={"shown": shown})


def _secret(name: str, help_: str, shown: str) -> Any:  # noqa: ANN401 - as above
    """Declare a setting whose value is never shown and handed to services in files only."""
    return Field(
        None,
        alias=name,
        description=help_,
        json_schema_extra={"shown": shown, "secret": True},
        repr=False,
    )


class Settings(BaseModel):
    """Everything that a user can set; read it with `load`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    home: values.InstanceDirectory = _setting(
        "DAGMA_HOME", ".dagma", "Directory of all state; deleting it is a factory reset."
    )
    host: values.Address = _setting(
        "DAGMA_HOST",
        "127.0.0.1",
        "Address that the web interfaces listen on; they have no login, so think before 0.0.0.0.",
    )
    allowed_hosts: values.Hosts | None = _setting(
        "DAGMA_ALLOWED_HOSTS",
        None,
        "Further host names that Dagster and MLflow answer to, separated by commas; *.NAME for all below.",
        "loopback, DAGMA_HOST, that of DAGMA_PUBLIC_URL",
    )
    token: values.Switch = _setting(
        "DAGMA_TOKEN",
        "auto",
        "Whether the web interfaces ask for a token: on, off, or auto (where others could ask them).",
    )
    start_timeout: values.Seconds = _setting(
        "DAGMA_START_TIMEOUT", 180, "Seconds that `dagma up` waits until all services are healthy."
    )
    drain_timeout: values.LongSeconds = _setting(
        "DAGMA_DRAIN_TIMEOUT",
        600,
        "Seconds that `dagma down` and Ctrl-C wait for runs in progress before they end them.",
    )
    backups: values.Directory | None = _setting(
        "DAGMA_BACKUPS",
        None,
        "Directory of backups; not in DAGMA_HOME, so that a factory reset spares them.",
        "DAGMA_HOME-backups",
    )
    backups_kept: values.Count = _setting(
        "DAGMA_BACKUPS_KEPT",
        7,
        "Backups of this installation that are kept in a directory, and dumps of each database of before upgrades.",
    )
    backup_daily: values.Flag = _setting(
        "DAGMA_BACKUP_DAILY", False, "Whether the running stack writes a backup every day."
    )
    maintenance_at: values.TimeOfDay = _setting(
        "DAGMA_MAINTENANCE_AT",
        "05:00",
        "Time of day of that backup, then of `dagma prune`, in the zone DAGMA_TIMEZONE.",
    )
    keep_events: values.Days | None = _setting(
        "DAGMA_KEEP_EVENTS_DAYS",
        None,
        "Age at which `dagma prune` removes log lines and step events of finished runs.",
        "they are kept for ever",
    )
    keep_runs: values.Days | None = _setting(
        "DAGMA_KEEP_RUNS_DAYS",
        None,
        "Age at which it removes finished runs that nothing needs any more.",
        "they are kept for ever",
    )
    keep_compute_logs: values.Days | None = _setting(
        "DAGMA_KEEP_COMPUTE_LOGS_DAYS",
        None,
        "Age at which it removes what steps of finished runs printed.",
        "they are kept for ever",
    )
    keep_ticks_skipped: values.Days = _setting(
        "DAGMA_KEEP_TICKS_SKIPPED_DAYS",
        7,
        "Age at which Dagster removes ticks of schedules and sensors that did nothing.",
    )
    keep_ticks_failed: values.Days = _setting(
        "DAGMA_KEEP_TICKS_FAILED_DAYS", 30, "Age at which Dagster removes ticks that failed."
    )
    keep_ticks: values.Days = _setting(
        "DAGMA_KEEP_TICKS_DAYS", 90, "Age at which Dagster removes ticks that started something."
    )
    packages: values.Packages = _setting(
        "DAGMA_PACKAGES",
        "auto",
        "Package set that `./nixw` takes, from the environment only: auto, nixpkgs or registry.",
    )
    locked: values.Flag = _setting(
        "DAGMA_LOCKED",
        False,
        "Makes `./nixw` fail when a pinned package is gone; from the environment only.",
    )

    postgres_port: values.Port = _setting(
        "POSTGRES_PORT", 5432, "Port of PostgreSQL, on loopback only."
    )
    postgres_user: values.DatabaseName = _setting(
        "POSTGRES_USER", "dagster", "PostgreSQL role of Dagster."
    )
    postgres_password: values.Password | None = _secret(
        "POSTGRES_PASSWORD",
        "Password of that role; without it one is made and kept in DAGMA_HOME/secrets.",
        "generated",
    )
    postgres_db: values.DatabaseName = _setting(
        "POSTGRES_DB", "dagster", "PostgreSQL database of Dagster."
    )
    analytics_url: values.DatabaseUrl | None = _setting(
        "DAGMA_ANALYTICS_URL",
        None,
        "PostgreSQL database of assets' tables and dbt's models; name a passfile, not a password.",
        "the stack's own",
    )

    dagster_home: values.InstanceDirectory | None = _setting(
        "DAGSTER_HOME", None, "Directory of Dagster's instance.", "DAGMA_HOME/dagster"
    )
    webserver_port: values.Port = _setting(
        "DAGSTER_WEBSERVER_PORT", 3000, "Port of Dagster's web interface."
    )
    user_code_port: values.Port | None = _setting(
        "USER_CODE_PORT",
        None,
        "Port of the user code's gRPC server on loopback; who reaches it runs code through it.",
        "none, but a socket in DAGMA_HOME",
    )
    code_module: values.Module = _setting(
        "DAGMA_CODE_MODULE",
        "dagma.definitions",
        "Python module of your Dagster definitions; the current directory is importable.",
    )
    max_concurrent_runs: values.Count = _setting(
        "DAGMA_MAX_CONCURRENT_RUNS", 4, "Dagster runs at one time; the others wait in the queue."
    )
    user_code_image: values.Text | None = _setting(
        "USER_CODE_IMAGE", None, "Container image that holds the user code.", "none"
    )
    current_image: values.Text | None = _setting(
        "DAGSTER_CURRENT_IMAGE", None, "Container image noted on each run.", "USER_CODE_IMAGE"
    )
    recipes_source: values.Text | None = _setting(
        "RECIPES_SOURCE", None, "Corpus that the asset raw_recipes reads.", "the packaged corpus"
    )
    sensor_interval: values.Seconds = _setting(
        "DAGMA_SENSOR_INTERVAL",
        30,
        "Seconds between two looks of each sensor; a look takes a little processor time.",
    )
    inbox: values.Directory | None = _setting(
        "DAGMA_INBOX",
        None,
        "Directory in which a corpus file is found and processed.",
        "DAGMA_HOME/inbox",
    )
    retention_days: values.Days | None = _setting(
        "DAGMA_RETENTION_DAYS",
        None,
        "Age at which partitions of the inbox expire.",
        "they are kept for ever",
    )
    retention_dry_run: values.Flag = _setting(
        "DAGMA_RETENTION_DRY_RUN", True, "Expired partitions are only reported, not removed."
    )
    timezone: values.Zone = _setting("DAGMA_TIMEZONE", "UTC", "Time zone of the schedules.")
    nightly_at: values.TimeOfDay = _setting(
        "DAGMA_NIGHTLY_AT", "03:00", "Time of day of the nightly retraining, in that zone."
    )
    webhook_url: values.Url | None = _secret(
        "DAGMA_WEBHOOK_URL", "Webhook that is told how runs ended; it is kept secret.", "none"
    )
    webhook_format: values.WebhookFormat = _setting(
        "DAGMA_WEBHOOK_FORMAT",
        "json",
        "What the webhook gets: json, slack, or wecom for a WeCom bot.",
    )
    public_url: values.Url | None = _setting(
        "DAGMA_PUBLIC_URL",
        None,
        "Where people reach Dagster's web interface; the links in notifications begin with it.",
        "its address on this machine",
    )
    dbt_manifest: values.Directory | None = _setting(
        "DBT_MANIFEST", None, "Manifest of the dbt project.", "the packaged one"
    )

    mlflow_port: values.Port = _setting("MLFLOW_PORT", 5000, "Port of MLflow.")
    mlflow_tracking_uri: values.Text | None = _setting(
        "MLFLOW_TRACKING_URI", None, "MLflow server that assets log to.", "the stack's own"
    )
    mlflow_use_tracking: values.Flag | None = _setting(
        "MLFLOW_USE_TRACKING",
        None,
        "Whether assets log to MLflow; otherwise to a stub that keeps nothing.",
        "true when there is an MLflow",
    )
    mlflow_experiment: values.Text = _setting(
        "MLFLOW_EXPERIMENT", "dagma", "MLflow experiment that assets log to."
    )
    mlflow_unreachable: values.Unreachable = _setting(
        "DAGMA_MLFLOW_UNREACHABLE",
        "stub",
        "What assets do when MLflow does not answer: stub (go on without it) or fail.",
    )
    mlflow_workers: values.Count = _setting(
        "MLFLOW_WORKERS", 1, "Worker processes of MLflow; each takes about 200 MB."
    )
    mlflow_jobs: values.Flag = _setting(
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
        False,
        "MLflow's job runner (GenAI scoring); it takes eight more processes, about 1 GB.",
    )
    mlflow_allowed_hosts: values.Text | None = _setting(
        "MLFLOW_SERVER_ALLOWED_HOSTS",
        None,
        "Host names that MLflow alone answers to as well, separated by commas.",
        "none",
    )

    mlflow_artifact_schemes: values.Schemes = _setting(
        "DAGMA_MLFLOW_ARTIFACT_SCHEMES",
        "mlflow-artifacts",
        "Where experiments may keep artifacts: mlflow-artifacts, which is MLflow itself, s3, gs, ...",
    )

    qdrant_port: values.Port = _setting("QDRANT_PORT", 6333, "HTTP port of Qdrant.")
    qdrant_grpc_port: values.Port = _setting("QDRANT_GRPC_PORT", 6334, "gRPC port of Qdrant.")
    qdrant_url: values.Url | None = _setting(
        "QDRANT_URL", None, "Qdrant server that assets use.", "the stack's own when it has one"
    )
    qdrant_path: values.Directory | None = _setting(
        "QDRANT_PATH",
        None,
        "Directory of the embedded Qdrant that assets use without a server.",
        "DAGMA_HOME/qdrant/embedded",
    )
    qdrant_bin: values.Directory | None = _setting(
        "DAGMA_QDRANT_BIN", None, "Program of the Qdrant server.", "qdrant on PATH"
    )
    qdrant_web_ui: values.Directory | None = _setting(
        "QDRANT__SERVICE__STATIC_CONTENT_DIR",
        None,
        "Files of Qdrant's dashboard; with nixpkgs they are there.",
        "DAGMA_HOME/qdrant/static",
    )

    @property
    def daily(self) -> list[str]:
        """The commands that the process `maintenance` runs; what is pruned is in a backup before."""
        kept = (self.keep_events, self.keep_runs, self.keep_compute_logs)
        prune = ["prune"] if any(days is not None for days in kept) else []
        return ["backup", *prune] if self.backup_daily else prune


#: Who takes a changed setting while the stack runs: no service, since every command reads it; none
#: by itself, since it is for all of them or stands in the topology; or some. The others are assets'.
AT_ONCE: tuple[str, ...] = ()
STACK = ("stack",)
TAKEN_BY = {
    AT_ONCE: ("home", "start_timeout", "drain_timeout", "packages", "locked"),
    STACK: (
        *("host", "postgres_port", "webserver_port", "user_code_port", "mlflow_port"),
        *("qdrant_port", "qdrant_grpc_port", "postgres_user", "postgres_password", "postgres_db"),
        *("dagster_home", "code_module", "allowed_hosts", "token"),
    ),
    ("daemon",): (
        *("max_concurrent_runs", "keep_ticks", "keep_ticks_skipped", "keep_ticks_failed"),
    ),
    ("mlflow",): (
        *("mlflow_workers", "mlflow_jobs", "mlflow_allowed_hosts", "mlflow_artifact_schemes"),
    ),
    ("qdrant",): ("qdrant_bin", "qdrant_web_ui"),
    ("maintenance",): (
        *("backups", "backups_kept", "backup_daily", "maintenance_at"),
        *("keep_events", "keep_runs", "keep_compute_logs"),
    ),
    ("user_code", "maintenance"): ("timezone",),
}
_ASSETS = ("user_code",)

#: Variables that Dagma itself hands to the services, and ./nixw to all it starts: not settings, but
#: no mistake either.
HANDED_DOWN = frozenset(
    {
        "DAGMA_CHECKOUT",
        "DAGMA_ENV",
        "DAGMA_SUPERVISED",
        "DAGMA_SERVICES",
        "DAGMA_PROBE_HOST",
        "DAGMA_USER_CODE_HOST",
        "DAGMA_USER_CODE_SOCKET",
        "DAGMA_POSTGRES_URL",
        "MLFLOW_BACKEND_STORE_URI",
        "DAGMA_QDRANT_PROGRAM",
        "DAGMA_WITHOUT_QDRANT",
        "DAGMA_DAILY",
        "DAGMA_WITHOUT_MAINTENANCE",
        "DAGMA_WEBHOOK_URL_FILE",
        "DAGMA_TOKEN_FILE",
        "DAGMA_QDRANT_CONFIG",
        "DAGMA_PROGRAMS",
        "DAGMA_CODE",
        "DAGMA_DAGSTER",
        "DAGMA_REVISION",
    }
)

#: Variables of deploy/compose.yaml, which may be in the same `.env`.
OF_COMPOSE = frozenset(
    {"DAGMA_IMAGE_PREFIX", "DAGMA_IMAGE_TAG", "DAGMA_POSTGRES_IMAGE", "DAGMA_QDRANT_IMAGE"}
)

#: All names with these beginnings are ours; others (DAGSTER_*, MLFLOW_*) belong to the products,
#: where only a name one keystroke away from a setting is taken for a slip.
OWN_PREFIXES = ("DAGMA_", "POSTGRES_", "QDRANT_", "USER_CODE_")

_PORTS = ("postgres_port", "webserver_port", "user_code_port", "mlflow_port")
_PORTS_QDRANT = ("qdrant_port", "qdrant_grpc_port")


@dataclass(frozen=True)
class Loaded:
    """Settings, and the other variables of ``.env``, which go to the services as they are."""

    settings: Settings
    extra: Mapping[str, str] = field(default_factory=dict)


def table() -> dict[str, FieldInfo]:
    """All settings by the name of their environment variable, in the order of the table."""
    return {str(info.alias): info for info in Settings.model_fields.values()}


def secrets() -> set[str]:
    """Names of the settings whose values are never shown."""
    return {name for name, info in table().items() if _extra(info).get("secret")}


def shown_default(info: FieldInfo) -> str:
    """The default of a setting as the documentation writes it."""
    shown = _extra(info)["shown"]
    if shown is not None:
        return str(shown)
    return str(info.default).lower() if isinstance(info.default, bool) else str(info.default)


def taken_by(name: str) -> tuple[str, ...]:
    """The services that take a changed value of a setting; or AT_ONCE, or STACK."""
    found = {attribute: info.alias for attribute, info in Settings.model_fields.items()}
    by_name = {found[field]: services for services, fields in TAKEN_BY.items() for field in fields}
    return by_name.get(name, _ASSETS)


def _extra(info: FieldInfo) -> dict[str, Any]:
    return dict(info.json_schema_extra) if isinstance(info.json_schema_extra, dict) else {}


def load(environ: Mapping[str, str], directory: Path | None = None) -> Loaded:
    """Read and check all settings; writes nothing.

    Args:
        environ: The process environment, which wins over ``.env``.
        directory: Where ``.env`` is looked for; None inside a service, which has all it needs
            in its environment.

    Raises:
        SettingsError: One sentence about the first mistake found.
    """
    lines = dotenv_file.read(directory / ".env") if directory else {}
    names = table()
    for name, line in lines.items():
        _known(name, names, f"line {line.number} of .env", OWN_PREFIXES)
    for name in environ:
        if name.startswith("DAGMA_"):
            _known(name, names, "the environment", ("DAGMA_",))
    everything = {name: line.value for name, line in lines.items()} | dict(environ)
    origin = {name: "the environment" if name in environ else ".env" for name in everything}
    for name, value in everything.items():
        # To Qdrant's server an empty key is one too, which everybody has.
        if (name in names or name.startswith("QDRANT__")) and not value.strip():
            raise SettingsError(
                f"{name} in {origin[name]} is empty: give it a value or remove the line."
            )
    given = {name: everything[name] for name in names if name in everything}
    settings = _validated(given, origin)
    _check_together(settings)
    return Loaded(settings, {n: line.value for n, line in lines.items() if n not in names})


def _known(name: str, names: Mapping[str, Any], where: str, prefixes: tuple[str, ...]) -> None:
    if name in names or name in HANDED_DOWN | OF_COMPOSE:
        return
    similar = dotenv_file.similar(name, names)
    ours = name.upper().startswith(prefixes) and not name.startswith("QDRANT__")
    if ours or (similar and dotenv_file.one_edit_apart(name.upper(), similar)):
        hint = f"; did you mean {similar}?" if similar else "; .env.example lists all settings."
        raise SettingsError(f"{name} in {where} is not a setting of Dagma{hint}")


def _validated(given: Mapping[str, str], origin: Mapping[str, str]) -> Settings:
    try:
        return Settings.model_validate(given)
    except PydanticError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if name in given:
            raise SettingsError(_sentence(name, given[name], f"in {origin[name]}")) from None
        # A default, which has its field's name. Only that of a path can be wrong, by where we are.
        path, name = Path(str(first["input"])).absolute(), str(Settings.model_fields[name].alias)
        raise SettingsError(_sentence(name, str(path), "by default")) from None


def _sentence(name: str, value: str, where: str) -> str:
    kind = table()[name].rebuild_annotation()
    return values.refusal(name, kind, value, where, secret=name in secrets())


def _check_together(settings: Settings) -> None:
    """What no single value shows."""
    seen: dict[int, str] = {}
    for attribute in (*_PORTS, *_PORTS_QDRANT):
        name = str(Settings.model_fields[attribute].alias)
        port = getattr(settings, attribute)
        if port is None:
            continue
        if port in seen:
            raise SettingsError(f"{seen[port]} and {name} are both {port}: give each its own port.")
        seen[port] = name
    if settings.postgres_user in ("postgres", "mlflow", "analytics"):
        raise SettingsError(
            f"POSTGRES_USER is {settings.postgres_user!r}, a role of the stack itself: choose another."
        )
    if settings.postgres_db in ("postgres", "mlflow", "analytics", "template0", "template1"):
        raise SettingsError(
            f"POSTGRES_DB is {settings.postgres_db!r}, a database of the stack itself: choose another."
        )
