"""MLflow's client sends the token, and only to the stack's own server.

The provider `dagma` of MLFLOW_TRACKING_AUTH, which MLflow finds among the entry points.
"""

from typing import TYPE_CHECKING, Any

from mlflow.tracking.request_auth.abstract_request_auth_provider import RequestAuthProvider

from dagma.door import token

if TYPE_CHECKING:
    from collections.abc import Callable

#: The provider's name.
NAME = "dagma"


class Provider(RequestAuthProvider):
    """What MLflow asks for credentials."""

    def get_name(self) -> str:
        """Its name, as in MLFLOW_TRACKING_AUTH."""
        return NAME

    def get_auth(self) -> "Callable[[Any], Any]":
        """What adds the credentials to a prepared request of `requests`."""
        return _with_token


def _with_token(request: Any) -> Any:  # noqa: ANN401 - requests has no types here
    if found := token.for_server(request.url):
        request.headers["Authorization"] = f"Bearer {found}"
    return request
