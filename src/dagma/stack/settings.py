"""The one table of settings: name, type, default, help.

Values come from the environment and from ``.env`` in the current directory; the environment wins.
Values are literal: ``$`` has no meaning. ``.env.example``, ``docs/settings.md`` and the messages
are made from this table or compared with it by a test.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

from dagma.errors import SettingsError
from dagma.stack import dotenv_file


class Allowed(NamedTuple):
    """What a value may be, as the end of the sentence "... must be"."""

    text: str


def _matching(pattern: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return AfterValidator(check)


def _digits(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError
    return value


def _address(value: str) -> str:
    return str(ipaddress.IPv4Address("127.0.0.1" if value == "localhost" else value))


def _zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (OSError, LookupError) as error:
        raise ValueError from error


def _absolute(value: Path) -> Path:
    try:
        path = Path(os.path.abspath(value.expanduser()))  # noqa: PTH100 - keeps symbolic links
    except RuntimeError as error:  # a ~ of nobody
        raise ValueError from error
    # The topology is filled in as text: what YAML, or a shell in double quotes, would change stays out.
    if not str(path).isprintable() or re.search(r"[\"'`\\$,{}#]", str(path)):
        raise ValueError
    return path


_Digits = BeforeValidator(_digits)
Port = Annotated[int, _Digits, Field(ge=1, le=65535), Allowed("a whole number from 1 to 65535")]
Seconds = Annotated[
    int, _Digits, Field(ge=1, le=3600), Allowed("a whole number of seconds from 1 to 3600")
]
Days = Annotated[
    int, _Digits, Field(ge=1, le=36500), Allowed("a whole number of days from 1 to 36500")
]
LongSeconds = Annotated[
    int,
    _Digits,
    Field(ge=0, le=604800),
    Allowed("a whole number of seconds from 0 to 604800, a week"),
]
Count = Annotated[int, _Digits, Field(ge=1, le=1000), Allowed("a whole number from 1 to 1000")]
Directory = Annotated[
    Path,
    AfterValidator(_absolute),
    Allowed("a path of printable characters without quotes, commas, backslashes, braces, # or $"),
]
Address = Annotated[
    str, AfterValidator(_address), Allowed("an IPv4 address such as 127.0.0.1 or 0.0.0.0")
]
DatabaseName = Annotated[
    str,
    _matching(r"(?!pg_)[A-Za-z_][A-Za-z0-9_-]{0,62}"),
    Allowed("letters, digits, _ and -, at most 63, not beginning with a digit or pg_"),
]
Module = Annotated[
    str,
    _matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"),
    Allowed("the dotted name of a Python module"),
]
Url = Annotated[
    str, _matching(r"https?://[^\s/]+\S*"), Allowed("a URL that begins with http:// or https://")
]
Zone = Annotated[
    str, AfterValidator(_zone), Allowed("the name of a time zone such as UTC or Europe/Berlin")
]
TimeOfDay = Annotated[
    str, _matching(r"([01][0-9]|2[0-3]):[0-5][0-9]"), Allowed("a time from 00:00 to 23:59")
]
DatabaseUrl = Annotated[
    str,
    _matching(r"postgresql\+psycopg2://\S+"),
    Allowed("a URL that begins with postgresql+psycopg2://"),
]
Text = Annotated[str, Field(min_length=1), Allowed("some text")]
Password = Annotated[
    str, _matching(r"[^\x00-\x1f\x7f]{1,200}"), Allowed("1 to 200 characters in one line")
]
Flag = Annotated[bool, Allowed("true or false")]
WebhookFormat = Annotated[Literal["json", "wecom"], Allowed("json or wecom")]
Unreachable = Annotated[Literal["stub", "fail"], Allowed("stub or fail")]
Packages = Annotated[Literal["auto", "nixpkgs", "registry"], Allowed("auto, nixpkgs or registry")]


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

    home: Directory = _setting(
        "DAGMA_HOME", ".dagma", "Directory of all state; deleting it is a factory reset."
    )
    host: Address = _setting(
        "DAGMA_HOST",
        "127.0.0.1",
        "Address that the web interfaces listen on; they have no login, so think before 0.0.0.0.",
    )
    start_timeout: Seconds = _setting(
        "DAGMA_START_TIMEOUT", 180, "Seconds that `dagma up` waits until all services are healthy."
    )
    drain_timeout: LongSeconds = _setting(
        "DAGMA_DRAIN_TIMEOUT",
        600,
        "Seconds that `dagma down` and Ctrl-C wait for runs in progress before they end them.",
    )
    backups: Directory | None = _setting(
        "DAGMA_BACKUPS",
        None,
        "Directory of backups; not in DAGMA_HOME, so that a factory reset spares them.",
        "DAGMA_HOME-backups",
    )
    backups_kept: Count = _setting(
        "DAGMA_BACKUPS_KEPT",
        7,
        "Backups of this installation that are kept in a directory, and dumps of each database of before upgrades.",
    )
    backup_daily: Flag = _setting(
        "DAGMA_BACKUP_DAILY", False, "Whether the running stack writes a backup every day."
    )
    maintenance_at: TimeOfDay = _setting(
        "DAGMA_MAINTENANCE_AT",
        "05:00",
        "Time of day of that backup, then of `dagma prune`, in the zone DAGMA_TIMEZONE.",
    )
    keep_events: Days | None = _setting(
        "DAGMA_KEEP_EVENTS_DAYS",
        None,
        "Age at which `dagma prune` removes log lines and step events of finished runs.",
        "they are kept for ever",
    )
    keep_runs: Days | None = _setting(
        "DAGMA_KEEP_RUNS_DAYS",
        None,
        "Age at which it removes finished runs that nothing needs any more.",
        "they are kept for ever",
    )
    keep_compute_logs: Days | None = _setting(
        "DAGMA_KEEP_COMPUTE_LOGS_DAYS",
        None,
        "Age at which it removes what steps of finished runs printed.",
        "they are kept for ever",
    )
    keep_ticks_skipped: Days = _setting(
        "DAGMA_KEEP_TICKS_SKIPPED_DAYS",
        7,
        "Age at which Dagster removes ticks of schedules and sensors that did nothing.",
    )
    keep_ticks_failed: Days = _setting(
        "DAGMA_KEEP_TICKS_FAILED_DAYS", 30, "Age at which Dagster removes ticks that failed."
    )
    keep_ticks: Days = _setting(
        "DAGMA_KEEP_TICKS_DAYS", 90, "Age at which Dagster removes ticks that started something."
    )
    packages: Packages = _setting(
        "DAGMA_PACKAGES",
        "auto",
        "Package set that `./nixw` takes, from the environment only: auto, nixpkgs or registry.",
    )
    locked: Flag = _setting(
        "DAGMA_LOCKED",
        False,
        "Makes `./nixw` fail when a pinned package is gone; from the environment only.",
    )

    postgres_port: Port = _setting("POSTGRES_PORT", 5432, "Port of PostgreSQL, on loopback only.")
    postgres_user: DatabaseName = _setting(
        "POSTGRES_USER", "dagster", "PostgreSQL role of Dagster."
    )
    postgres_password: Password | None = _secret(
        "POSTGRES_PASSWORD",
        "Password of that role; without it one is made and kept in DAGMA_HOME/secrets.",
        "generated",
    )
    postgres_db: DatabaseName = _setting(
        "POSTGRES_DB", "dagster", "PostgreSQL database of Dagster."
    )
    analytics_url: DatabaseUrl | None = _setting(
        "DAGMA_ANALYTICS_URL",
        None,
        "PostgreSQL database of assets' tables and dbt's models; name a passfile, not a password.",
        "the stack's own",
    )

    dagster_home: Directory | None = _setting(
        "DAGSTER_HOME", None, "Directory of Dagster's instance.", "DAGMA_HOME/dagster"
    )
    webserver_port: Port = _setting(
        "DAGSTER_WEBSERVER_PORT", 3000, "Port of Dagster's web interface."
    )
    user_code_port: Port = _setting(
        "USER_CODE_PORT", 4000, "Port of the user code's gRPC server, on loopback only."
    )
    code_module: Module = _setting(
        "DAGMA_CODE_MODULE",
        "dagma.definitions",
        "Python module of your Dagster definitions; the current directory is importable.",
    )
    max_concurrent_runs: Count = _setting(
        "DAGMA_MAX_CONCURRENT_RUNS", 4, "Dagster runs at one time; the others wait in the queue."
    )
    user_code_image: Text | None = _setting(
        "USER_CODE_IMAGE", None, "Container image that holds the user code.", "none"
    )
    current_image: Text | None = _setting(
        "DAGSTER_CURRENT_IMAGE", None, "Container image noted on each run.", "USER_CODE_IMAGE"
    )
    recipes_source: Text | None = _setting(
        "RECIPES_SOURCE", None, "Corpus that the asset raw_recipes reads.", "the packaged corpus"
    )
    sensor_interval: Seconds = _setting(
        "DAGMA_SENSOR_INTERVAL",
        30,
        "Seconds between two looks of each sensor; a look takes a little processor time.",
    )
    inbox: Directory | None = _setting(
        "DAGMA_INBOX",
        None,
        "Directory in which a corpus file is found and processed.",
        "DAGMA_HOME/inbox",
    )
    retention_days: Days | None = _setting(
        "DAGMA_RETENTION_DAYS",
        None,
        "Age at which partitions of the inbox expire.",
        "they are kept for ever",
    )
    retention_dry_run: Flag = _setting(
        "DAGMA_RETENTION_DRY_RUN", True, "Expired partitions are only reported, not removed."
    )
    timezone: Zone = _setting("DAGMA_TIMEZONE", "UTC", "Time zone of the schedules.")
    nightly_at: TimeOfDay = _setting(
        "DAGMA_NIGHTLY_AT", "03:00", "Time of day of the nightly retraining, in that zone."
    )
    webhook_url: Url | None = _secret(
        "DAGMA_WEBHOOK_URL", "Webhook that is told how runs ended; it is kept secret.", "none"
    )
    webhook_format: WebhookFormat = _setting(
        "DAGMA_WEBHOOK_FORMAT", "json", "What the webhook gets: json, or wecom for a WeCom bot."
    )
    public_url: Url | None = _setting(
        "DAGMA_PUBLIC_URL",
        None,
        "Where people reach Dagster's web interface; the links in notifications begin with it.",
        "its address on this machine",
    )
    dbt_manifest: Directory | None = _setting(
        "DBT_MANIFEST", None, "Manifest of the dbt project.", "the packaged one"
    )

    mlflow_port: Port = _setting("MLFLOW_PORT", 5000, "Port of MLflow.")
    mlflow_tracking_uri: Text | None = _setting(
        "MLFLOW_TRACKING_URI", None, "MLflow server that assets log to.", "the stack's own"
    )
    mlflow_use_tracking: Flag | None = _setting(
        "MLFLOW_USE_TRACKING",
        None,
        "Whether assets log to MLflow; otherwise to a stub that keeps nothing.",
        "true when there is an MLflow",
    )
    mlflow_experiment: Text = _setting(
        "MLFLOW_EXPERIMENT", "dagma", "MLflow experiment that assets log to."
    )
    mlflow_unreachable: Unreachable = _setting(
        "DAGMA_MLFLOW_UNREACHABLE",
        "stub",
        "What assets do when MLflow does not answer: stub (go on without it) or fail.",
    )
    mlflow_workers: Count = _setting(
        "MLFLOW_WORKERS", 1, "Worker processes of MLflow; each takes about 200 MB."
    )
    mlflow_jobs: Flag = _setting(
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
        False,
        "MLflow's job runner (GenAI scoring); it takes eight more processes, about 1 GB.",
    )
    mlflow_allowed_hosts: Text | None = _setting(
        "MLFLOW_SERVER_ALLOWED_HOSTS",
        None,
        "Host headers that MLflow answers, separated by commas.",
        "loopback and private addresses",
    )

    qdrant_port: Port = _setting("QDRANT_PORT", 6333, "HTTP port of Qdrant.")
    qdrant_grpc_port: Port = _setting("QDRANT_GRPC_PORT", 6334, "gRPC port of Qdrant.")
    qdrant_url: Url | None = _setting(
        "QDRANT_URL", None, "Qdrant server that assets use.", "the stack's own when it has one"
    )
    qdrant_path: Directory | None = _setting(
        "QDRANT_PATH",
        None,
        "Directory of the embedded Qdrant that assets use without a server.",
        "DAGMA_HOME/qdrant/embedded",
    )
    qdrant_bin: Directory | None = _setting(
        "DAGMA_QDRANT_BIN", None, "Program of the Qdrant server.", "qdrant on PATH"
    )

    @property
    def daily(self) -> list[str]:
        """The commands that the process `maintenance` runs; what is pruned is in a backup before."""
        kept = (self.keep_events, self.keep_runs, self.keep_compute_logs)
        prune = ["prune"] if any(days is not None for days in kept) else []
        return ["backup", *prune] if self.backup_daily else prune


#: Variables that Dagma itself hands to the services: not settings, but no mistake either.
HANDED_DOWN = frozenset(
    {
        "DAGMA_ENV",
        "DAGMA_SUPERVISED",
        "DAGMA_SERVICES",
        "DAGMA_PROBE_HOST",
        "DAGMA_USER_CODE_HOST",
        "DAGMA_POSTGRES_URL",
        "MLFLOW_BACKEND_STORE_URI",
        "DAGMA_QDRANT_PROGRAM",
        "DAGMA_WITHOUT_QDRANT",
        "DAGMA_DAILY",
        "DAGMA_WITHOUT_MAINTENANCE",
        "DAGMA_WEBHOOK_URL_FILE",
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
    values = {name: line.value for name, line in lines.items() if name in names}
    values |= {name: environ[name] for name in names if name in environ}
    origin = {name: "the environment" if name in environ else ".env" for name in values}
    settings = _validated(values, origin)
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


def _validated(values: Mapping[str, str], origin: Mapping[str, str]) -> Settings:
    for name, value in values.items():
        if not value.strip():
            raise SettingsError(
                f"{name} in {origin[name]} is empty: give it a value or remove the line."
            )
    try:
        return Settings.model_validate(values)
    except PydanticError as error:
        name = str(error.errors()[0]["loc"][0])
        raise SettingsError(_sentence(name, values[name], origin[name])) from None


def _sentence(name: str, value: str, where: str) -> str:
    info = table()[name]
    value = re.sub(r"//[^/@]*@", "//***@", value)
    shown = "has a value (not shown) in" if name in secrets() else f"is {value!r} in"
    return f"{name} {shown} {where}, but it must be {_allowed(info)}."


def _allowed(info: FieldInfo) -> str:
    """The `Allowed` of a field; that of ``X | None`` sits inside the union."""
    for item in (*info.metadata, *_nested_metadata(info.annotation)):
        if isinstance(item, Allowed):
            return item.text
    return "something else"


def _nested_metadata(annotation: object) -> tuple[Any, ...]:
    nested: tuple[Any, ...] = ()
    for part in getattr(annotation, "__args__", ()):
        nested += tuple(getattr(part, "__metadata__", ()))
    return nested


def _check_together(settings: Settings) -> None:
    """What no single value shows."""
    seen: dict[int, str] = {}
    for attribute in (*_PORTS, *_PORTS_QDRANT):
        name = str(Settings.model_fields[attribute].alias)
        port = getattr(settings, attribute)
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
