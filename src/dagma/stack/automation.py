"""Schedules and sensors of the running stack, as Dagster's web interface sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dagma.errors import NotRunning, StackError
from dagma.stack import graphql, topology
from dagma.stack.settings import Settings

_QUERY = """
query { repositoriesOrError { __typename
  ... on PythonError { message }
  ... on RepositoryConnection { nodes {
    schedules { name cronSchedule executionTimezone scheduleState { status }
      futureTicks(limit: %d) { results { timestamp } } }
    sensors { name minIntervalSeconds sensorState { status } }
} } } }
"""


@dataclass(frozen=True)
class Automation:
    """One schedule or sensor.

    Attributes:
        name: Its name.
        status: RUNNING or STOPPED.
        rhythm: When a schedule starts, as cron expression and time zone; how often a sensor looks.
        next: When a schedule starts next, in its own time zone, as ISO 8601; empty when stopped.
    """

    name: str
    status: str
    rhythm: str
    next: list[str]


def automations(settings: Settings, ticks: int) -> list[Automation]:
    """Schedules, then sensors, each by name, with so many next ticks of each schedule.

    Raises:
        NotRunning: The web interface does not answer.
        StackError: It has no schedules to show, because the user code does not load.
    """
    address = topology.url("webserver", settings)
    try:
        found = graphql.ask(settings, _QUERY % ticks)["repositoriesOrError"]
    except (OSError, ValueError) as error:
        raise NotRunning(
            f"Dagster's web interface does not answer at {address}; `dagma up` starts it."
        ) from error
    repositories = found.get("nodes") or []
    if not repositories:
        raise StackError(f"{settings.code_module} is not loaded; details at {address}/locations.")
    schedules = [_schedule(node) for one in repositories for node in one["schedules"]]
    sensors = [_sensor(node) for one in repositories for node in one["sensors"]]
    return [*sorted(schedules, key=_name), *sorted(sensors, key=_name)]


def _name(automation: Automation) -> str:
    return automation.name


def _schedule(node: Any) -> Automation:  # noqa: ANN401 - JSON
    zone = node["executionTimezone"] or "UTC"
    status = node["scheduleState"]["status"]
    stamps = [tick["timestamp"] for tick in node["futureTicks"]["results"]]
    ticks = [datetime.fromtimestamp(stamp, ZoneInfo(zone)).isoformat() for stamp in stamps]
    return Automation(
        node["name"], status, f"{node['cronSchedule']} {zone}", ticks if status == "RUNNING" else []
    )


def _sensor(node: Any) -> Automation:  # noqa: ANN401 - JSON
    rhythm = f"every {node['minIntervalSeconds']} s"
    return Automation(node["name"], node["sensorState"]["status"], rhythm, [])


def lines(found: list[Automation]) -> list[str]:
    """One line for each, in columns; further ticks are below the first."""
    if not found:
        return ["The code location has no schedules and no sensors."]
    name, rhythm = (max(len(getattr(one, field)) for one in found) for field in ("name", "rhythm"))
    out = []
    for one in found:
        head = f"{one.name:<{name}}  {one.status:<7}  {one.rhythm:<{rhythm}}  "
        out.append((head + "".join(one.next[:1])).rstrip())
        out += [" " * len(head) + tick for tick in one.next[1:]]
    return out
