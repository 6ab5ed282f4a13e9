"""HTTP to the stack's own services: past the proxy that the environment may name for others."""

import urllib.request
from http.client import HTTPResponse


def opened(request: str | urllib.request.Request, timeout: float) -> HTTPResponse:
    """The answer to a request.

    Args:
        request: An address, or a whole request.
        timeout: Seconds for which a service may be silent.

    Raises:
        OSError: The service does not answer, or not with success.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer: HTTPResponse = opener.open(request, timeout=timeout)
    return answer
