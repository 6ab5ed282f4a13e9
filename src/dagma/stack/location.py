"""Whether the user's code loads, as Dagster's web interface sees it, and loading it again."""

import re
from typing import Any

from dagma.errors import CodeError, StackError
from dagma.stack import graphql, topology
from dagma.stack.settings import Settings

_QUERY = """
query { workspaceOrError { ... on Workspace { locationEntries {
  locationOrLoadError { __typename ... on PythonError { message causes { message } } } } } } }
"""
#: Dagster's webserver asks its code server to load the code anew, and waits for that.
_RELOAD = """
mutation { reloadRepositoryLocation(repositoryLocationName: "dagma") { __typename
  ... on WorkspaceLocationEntry {
    locationOrLoadError { __typename ... on PythonError { message causes { message } } } }
  ... on PythonError { message } ... on UnauthorizedError { message }
  ... on ReloadNotSupported { message } ... on RepositoryLocationNotFound { message } } }
"""
_YAML_PLACE = re.compile(r'^\s+(in ".+", line \d+), column \d+:?$', re.MULTILINE)
#: Seconds for a reload; Dagster itself gives up after two minutes.
_RELOAD_TIMEOUT = 180.0


def problem(settings: Settings) -> str | None:
    """One line about user code that does not load; None when it does.

    The services are healthy all the same: the code server stays up to take a corrected version,
    which `dagma reload` loads.
    """
    try:
        entries = graphql.ask(settings, _QUERY)["workspaceOrError"]["locationEntries"]
        found = [entry["locationOrLoadError"] for entry in entries]
    except (OSError, ValueError, LookupError, TypeError):
        return None  # the web interface itself will say more than we could
    errors = [error for error in found if error and error["__typename"] == "PythonError"]
    if not errors:
        return None
    address = topology.url("webserver", settings)
    reason = _most_telling(errors[0])
    return f"{settings.code_module} does not load: {reason}; details at {address}/locations"


def reload(settings: Settings) -> None:
    """Let the code server load the code anew.

    Raises:
        CodeError: It does not load; now nothing is served but the error.
        StackError: The web interface refused, or does not answer.
    """
    try:
        answer = graphql.ask(settings, _RELOAD, timeout=_RELOAD_TIMEOUT)["reloadRepositoryLocation"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StackError(f"Dagster's web interface did not reload the code: {error}") from error
    if answer["__typename"] != "WorkspaceLocationEntry":
        reason = _first_line(answer["message"])
        raise StackError(f"Dagster's web interface did not reload the code: {reason}")
    found = answer["locationOrLoadError"]
    if found and found["__typename"] == "PythonError":
        reason = _most_telling(found)
        raise CodeError(f"{settings.code_module} does not load: {reason}")


def _most_telling(error: dict[str, Any]) -> str:
    """The line of the user's own error, which is the first cause of Dagster's."""
    return _first_line([error, *error.get("causes", [])][-1]["message"])


def _first_line(message: str) -> str:
    """The first line, with the place that a YAML parser names only below it."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    places = _YAML_PLACE.findall(message)
    return f"{lines[0]}, {places[-1]}" if places else lines[0]
