"""The token of this installation, for servers that ask for it and clients that send it."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit

#: Names the file with the token; where it is not set or empty, none is needed.
FILE = "DAGMA_TOKEN_FILE"
#: The parameter of a link.
PARAMETER = "token"
_LOOPBACK = ("127.0.0.1", "localhost")
#: Settings with the ports of the stack's own servers.
_PORTS = ("DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT", "QDRANT_PORT", "QDRANT_GRPC_PORT")


def read(environ: Mapping[str, str]) -> str | None:
    """The token, where one is needed.

    Raises:
        RuntimeError: The file that DAGMA_TOKEN_FILE names holds none.
        OSError: It cannot be read.
    """
    if not environ.get(FILE):
        return None
    token = Path(environ[FILE]).read_text(encoding="ascii").strip()
    if not token:
        raise RuntimeError(f"{environ[FILE]} ({FILE}) is empty: there has to be a token in it.")
    return token


def for_server(url: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The token for a request to one of the stack's own servers; None for any other server."""
    place = urlsplit(url)
    ports = {environ.get(name) for name in _PORTS}
    own = place.hostname in (*_LOOPBACK, environ.get("DAGMA_HOST")) and str(place.port) in ports
    return read(environ) if own else None


def link(url: str, token: str) -> str:
    """The address that a browser is given once."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({PARAMETER: token})}"
