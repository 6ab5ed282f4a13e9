"""Whether the user's code loads, as Dagster's web interface sees it."""

import json
import urllib.request
from typing import Any

from dagma.stack import topology
from dagma.stack.settings import Settings

_QUERY = """
query { workspaceOrError { ... on Workspace { locationEntries {
  locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""
#: Seconds that the web interface may take; it has just said that it is healthy.
_TIMEOUT = 20.0


def problem(settings: Settings) -> str | None:
    """One line about user code that does not load; None when it does.

    The services are healthy all the same: the code server stays up to take a corrected version,
    which the reload button of the web interface loads.
    """
    try:
        entries = _ask(settings)["data"]["workspaceOrError"]["locationEntries"]
        found = [entry["locationOrLoadError"] for entry in entries]
    except (OSError, ValueError, LookupError, TypeError):
        return None  # the web interface itself will say more than we could
    errors = [error["message"] for error in found if error and error["__typename"] == "PythonError"]
    if not errors:
        return None
    address = topology.url("webserver", settings)
    reason = _most_telling(errors[0])
    return f"{settings.code_module} does not load: {reason}; details at {address}/locations"


def _ask(settings: Settings) -> Any:  # noqa: ANN401 - any JSON
    request = urllib.request.Request(
        f"{topology.url('webserver', settings)}/graphql",
        data=json.dumps({"query": _QUERY}).encode(),
        headers={"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=_TIMEOUT) as answer:
        return json.load(answer)


def _most_telling(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
