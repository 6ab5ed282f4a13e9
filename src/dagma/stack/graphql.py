"""Asking Dagster's web interface."""

import json
import urllib.request
from typing import Any

from dagma.stack import access, direct, topology
from dagma.stack.settings import Settings

#: Seconds that an answer may take.
_TIMEOUT = 20.0


def ask(settings: Settings, query: str, timeout: float = _TIMEOUT) -> Any:  # noqa: ANN401 - any JSON
    """The data of the answer to a query, which may take `timeout` seconds.

    Raises:
        OSError: The web interface does not answer, or there is no token for it yet.
        ValueError: It answers with something else than data.
    """
    headers = {"Content-Type": "application/json"}
    if access.needs_token(settings):
        headers["Authorization"] = f"Bearer {access.secret(settings)}"
    request = urllib.request.Request(
        f"{topology.url('webserver', settings)}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers=headers,
    )
    with direct.opened(request, timeout) as answer:
        found = json.load(answer)
    if not isinstance(found, dict) or not found.get("data"):
        raise ValueError("the answer holds no data")
    return found["data"]
