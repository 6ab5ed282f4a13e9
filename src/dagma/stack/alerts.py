"""What needs somebody although all services are healthy: failed checks and late schedules."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dagma.stack import graphql, topology
from dagma.stack.settings import Settings

#: Seconds after its time at which a schedule is late.
LATE = 600.0

_QUERY = """
query {
  assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks { name
    executionForLatestMaterialization { status runId evaluation { severity } } } } } }
  repositoriesOrError { ... on RepositoryConnection { nodes { name location { name }
    schedules { name scheduleState { status ticks(limit: 1) { timestamp } } } } } }
}
"""
_NEXT = """
scheduleOrError(scheduleSelector: %s) {
  ... on Schedule { futureTicks(cursor: %f, limit: 1) { results { timestamp } } } }
"""


def lines(settings: Settings) -> list[str]:
    """A line per asset check whose last result is an error, and per schedule that is late.

    Nothing when the web interface does not answer: then the table of services says more.
    """
    try:
        found = graphql.ask(settings, _QUERY)
        return [*_failed_checks(settings, found), *_late(settings, found)]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _failed_checks(settings: Settings, found: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    for node in found["assetNodes"]:
        asset = "/".join(node["assetKey"]["path"])
        for check in (node["assetChecksOrError"] or {}).get("checks", []):
            last = check["executionForLatestMaterialization"] or {}
            severity = (last.get("evaluation") or {}).get("severity")
            # A run that broke in the middle of a check has no evaluation of it.
            if last.get("status") == "EXECUTION_FAILED" or (
                last.get("status") == "FAILED" and severity == "ERROR"
            ):
                page = f"{topology.url('webserver', settings)}/runs/{last['runId']}"
                yield f"The check {check['name']} of {asset} failed: {page}"


def _late(settings: Settings, found: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    last = {}
    for node in found["repositoriesOrError"].get("nodes", []):
        for schedule in node["schedules"]:
            state = schedule["scheduleState"]
            if state["status"] == "RUNNING" and state["ticks"]:
                where = (node["location"]["name"], node["name"], schedule["name"])
                last[where] = state["ticks"][0]["timestamp"]
    if not last:
        return
    asked = [f"s{i}: {_NEXT % (_selector(*where), t + 1)}" for i, (where, t) in enumerate(last.items())]  # fmt: skip
    answer = graphql.ask(settings, f"query {{ {' '.join(asked)} }}")
    for i, (*_, name) in enumerate(last):
        due = answer[f"s{i}"]["futureTicks"]["results"][0]["timestamp"]
        if time.time() - due > LATE:
            at = datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds")
            yield f"The schedule {name} was due {at} and has not run: `dagma logs daemon`"


def _selector(location: str, repository: str, schedule: str) -> str:
    fields = {
        "repositoryLocationName": location,
        "repositoryName": repository,
        "scheduleName": schedule,
    }
    return "{" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()) + "}"
