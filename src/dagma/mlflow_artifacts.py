"""What MLflow's server takes for the place of artifacts: its own folder, unless a setting allows more.

MLflow lets a client say where an experiment keeps its artifacts, `file:///etc` too, and would read and
write there with the rights of the server. Experiments that are in its database already are held to the
same, since the place is looked at again when it is used.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

#: The setting, and what it is without one.
VARIABLE = "DAGMA_MLFLOW_ARTIFACT_SCHEMES"
OWN = "mlflow-artifacts"
#: MLflow's functions, private but one; the first argument of each is a place.
CHECKS = (
    "_validate_experiment_artifact_location",
    "_is_servable_proxied_run_artifact_root",
    "validate_artifact_uri_host",
)


def limit(environ: Mapping[str, str]) -> None:
    """Let the MLflow server in this process take no other places; before it serves.

    MLflow has a setting for hosts in such addresses, but none for paths. Its checks are completed: that
    of what a client submits, and those that each use of what is stored passes.

    Raises:
        AttributeError: This MLflow has no such checks.
    """
    allowed = frozenset(environ.get(VARIABLE, OWN).split(","))
    handlers = import_module("mlflow.server.handlers")
    for name in CHECKS:
        _complete(handlers, name, allowed)


def _complete(handlers: Any, name: str, allowed: frozenset[str]) -> None:  # noqa: ANN401 - a module
    own = getattr(handlers, name)

    def check(location: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as MLflow's
        if location and (problem := refused(location, allowed)):
            raise import_module("mlflow.exceptions").MlflowException.invalid_parameter_value(
                problem
            )
        return own(location, *arguments, **options)

    setattr(handlers, name, check)


def refused(location: str, allowed: frozenset[str]) -> str | None:
    """What is wrong with a place of artifacts; None when it is one of the allowed kinds.

    Args:
        location: As a client gave it, such as `mlflow-artifacts:/1`.
        allowed: Schemes; `file` for paths too.
    """
    parts = urlsplit(location.strip())
    scheme = parts.scheme if len(parts.scheme) > 1 else "file"  # C:/ is a path
    if scheme not in allowed:
        return (
            f"Artifacts may not be kept at {location!r}: the scheme {scheme} is not among those of "
            f"{VARIABLE}, {', '.join(sorted(allowed))}. Leave artifact_location out."
        )
    if ".." in _decoded(parts.path).replace("\\", "/").split("/"):
        return f"Artifacts may not be kept at {location!r}, which leads upwards."
    return None


def _decoded(path: str) -> str:
    while (plain := unquote(path)) != path:
        path = plain
    return path
