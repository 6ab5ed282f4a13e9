"""The one table of settings: name, type, default, help.

Values come from the environment and from ``.env`` in the current directory; the environment wins.
Values are literal: ``$`` has no meaning. ``.env.example``, ``docs/settings.md`` and the messages
are made from this table or compared with it by a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

from dagma import values
from dagma.errors import SettingsError
from dagma.stack import dotenv_file, services
from dagma.stack.fields import AT_ONCE, STACK, Part, secret, setting
from dagma.stack.services.postgres import SUPERUSER, TEMPLATES


class Platform(Part):
    """What a user can set about the stack as a whole."""

    home: values.InstanceDirectory = setting(
        "DAGMA_HOME",
        ".dagma",
        "Directory of all state; deleting it is a factory reset.",
        taken_by=AT_ONCE,
    )
    host: values.Address = setting(
        "DAGMA_HOST",
        "127.0.0.1",
        "Address that the web interfaces listen on; they have no login, so think before 0.0.0.0.",
        taken_by=STACK,
    )
    allowed_hosts: values.Hosts | None = setting(
        "DAGMA_ALLOWED_HOSTS",
        None,
        "Further host names that Dagster and MLflow answer to, separated by commas; *.NAME for all below.",
        "loopback, DAGMA_HOST, that of DAGMA_PUBLIC_URL",
        taken_by=STACK,
    )
    token: values.Switch = setting(
        "DAGMA_TOKEN",
        "auto",
        "Whether the web interfaces ask for a token: on, off, or auto (where others could ask them).",
        taken_by=STACK,
    )
    start_timeout: values.Seconds = setting(
        "DAGMA_START_TIMEOUT",
        180,
        "Seconds that `dagma up` waits until all services are healthy.",
        taken_by=AT_ONCE,
    )
    drain_timeout: values.LongSeconds = setting(
        "DAGMA_DRAIN_TIMEOUT",
        600,
        "Seconds that `dagma down` and Ctrl-C wait for runs in progress before they end them.",
        taken_by=AT_ONCE,
    )
    timezone: values.Zone = setting(
        "DAGMA_TIMEZONE",
        "UTC",
        "Time zone of the schedules.",
        taken_by=("user_code", "maintenance"),
    )
    public_url: values.Url | None = setting(
        "DAGMA_PUBLIC_URL",
        None,
        "Where people reach Dagster's web interface; the links in notifications begin with it.",
        "its address on this machine",
    )
    packages: values.Packages = setting(
        "DAGMA_PACKAGES",
        "auto",
        "Package set that `./nixw` takes, from the environment only: auto, nixpkgs or registry.",
        taken_by=AT_ONCE,
    )
    locked: values.Flag = setting(
        "DAGMA_LOCKED",
        False,
        "Makes `./nixw` fail when a pinned package is gone; from the environment only.",
        taken_by=AT_ONCE,
    )


class OfCode(Part):
    """What the kit and the example read; the stack hands it on."""

    analytics_url: values.DatabaseUrl | None = setting(
        "DAGMA_ANALYTICS_URL",
        None,
        "PostgreSQL database of assets' tables and dbt's models; name a passfile, not a password.",
        "the stack's own",
    )
    recipes_source: values.Text | None = setting(
        "RECIPES_SOURCE", None, "Corpus that the asset raw_recipes reads.", "the packaged corpus"
    )
    sensor_interval: values.Seconds = setting(
        "DAGMA_SENSOR_INTERVAL",
        30,
        "Seconds between two looks of each sensor; a look takes a little processor time.",
    )
    inbox: values.Directory | None = setting(
        "DAGMA_INBOX",
        None,
        "Directory in which a corpus file is found and processed.",
        "DAGMA_HOME/inbox",
    )
    retention_days: values.Days | None = setting(
        "DAGMA_RETENTION_DAYS",
        None,
        "Age at which partitions of the inbox expire.",
        "they are kept for ever",
    )
    retention_dry_run: values.Flag = setting(
        "DAGMA_RETENTION_DRY_RUN", True, "Expired partitions are only reported, not removed."
    )
    nightly_at: values.TimeOfDay = setting(
        "DAGMA_NIGHTLY_AT", "03:00", "Time of day of the nightly retraining, in that zone."
    )
    webhook_url: values.Url | None = secret(
        "DAGMA_WEBHOOK_URL", "Webhook that is told how runs ended; it is kept secret.", "none"
    )
    webhook_format: values.WebhookFormat = setting(
        "DAGMA_WEBHOOK_FORMAT",
        "json",
        "What the webhook gets: json, slack, or wecom for a WeCom bot.",
    )
    dbt_manifest: values.Directory | None = setting(
        "DBT_MANIFEST", None, "Manifest of the dbt project.", "the packaged one"
    )


class Settings(OfCode, services.ServiceSettings, Platform):
    """Everything that a user can set; read it with `load`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


#: Variables that Dagma itself hands to the services, and ./nixw to all it starts: not settings, but
#: no mistake either.
HANDED_DOWN = frozenset(
    {
        "DAGMA_CHECKOUT",
        "DAGMA_ENV",
        "DAGMA_SUPERVISED",
        "DAGMA_SERVICES",
        "DAGMA_PROBE_HOST",
        "DAGMA_WEBHOOK_URL_FILE",
        "DAGMA_TOKEN_FILE",
        "DAGMA_PROGRAMS",
        "DAGMA_CODE",
        "DAGMA_DAGSTER",
        "DAGMA_REVISION",
    }
).union(*(service.made for service in services.ALL))

#: Variables of deploy/compose.yaml, which may be in the same `.env`.
OF_COMPOSE = frozenset(
    {"DAGMA_IMAGE_PREFIX", "DAGMA_IMAGE_TAG", "DAGMA_POSTGRES_IMAGE", "DAGMA_QDRANT_IMAGE"}
)

#: All names with these beginnings are ours; others (DAGSTER_*, MLFLOW_*) belong to the products,
#: where only a name one keystroke away from a setting is taken for a slip.
OWN_PREFIXES = ("DAGMA_", *(prefix for service in services.ALL for prefix in service.own))
PRODUCTS = {prefix: of for service in services.ALL for prefix, of in service.products.items()}
_NEVER_EMPTY = tuple(prefix for service in services.ALL for prefix in service.never_empty)


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
    """The processes that take a changed value of a setting; or AT_ONCE, or STACK."""
    return tuple(_extra(table()[name])["taken_by"])


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
        if (name in names or name.startswith(_NEVER_EMPTY)) and not value.strip():
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
    ours = name.upper().startswith(prefixes) and not name.startswith(tuple(PRODUCTS))
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
    for process, _ in services.PROCESSES.values():
        for attribute in process.ports:
            name = str(Settings.model_fields[attribute].alias)
            port = getattr(settings, attribute)
            if port is None:
                continue
            if port in seen:
                raise SettingsError(
                    f"{seen[port]} and {name} are both {port}: give each its own port."
                )
            seen[port] = name
    others = [one.name for one in services.applications(settings) if one.name != "dagster"]
    taken = {SUPERUSER, *others}
    if settings.postgres_user in taken:
        raise SettingsError(
            f"POSTGRES_USER is {settings.postgres_user!r}, a role of the stack itself: choose another."
        )
    if settings.postgres_db in {*taken, *TEMPLATES}:
        raise SettingsError(
            f"POSTGRES_DB is {settings.postgres_db!r}, a database of the stack itself: choose another."
        )
