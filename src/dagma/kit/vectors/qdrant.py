"""The connection to Qdrant: a server, or the client's embedded engine."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from dagma.door import token
from dagma.lock import alone

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["KEY", "QdrantResource"]


#: The key that the server asks for, by Qdrant's own name. It is read here and is no field, since
#: Dagster's web interface shows those.
KEY = "QDRANT__SERVICE__API_KEY"


class QdrantResource(dg.ConfigurableResource["QdrantResource"]):
    """Qdrant's official client, on the server at `url` or else the embedded engine in `path`."""

    url: str = Field(default="", description="The server; QDRANT_URL.")
    path: str = Field(default="", description="The embedded engine's directory; QDRANT_PATH.")
    timeout: int = Field(default=30, ge=1, description="Seconds that a request may take.")

    @property
    def place(self) -> str:
        """Where the vectors are, for metadata."""
        return self.url or self.path

    @contextmanager
    def connect(self) -> "Iterator[QdrantClient]":
        """Give the client.

        Raises:
            Failure: Neither `url` nor `path` is set, the server does not answer or wants another
                key, or another process has the embedded engine open.
        """
        if self.url:
            with self._server() as client:
                yield client
        elif self.path:
            with self._embedded(Path(self.path)) as client:
                yield client
        else:
            raise dg.Failure(
                "Neither QDRANT_URL nor QDRANT_PATH is set: set QDRANT_URL to the address of a "
                "Qdrant server, or QDRANT_PATH to a directory for the embedded engine.",
                allow_retries=False,
            )

    @contextmanager
    def _server(self) -> "Iterator[QdrantClient]":
        from qdrant_client import QdrantClient
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        key = os.environ.get(KEY) or token.for_server(self.url)
        client = QdrantClient(
            url=self.url,
            timeout=self.timeout,
            # As `api_key` it would warn of http on loopback, too.
            headers={"api-key": key} if key else None,
            # Asking for the server's version in a thread of its own would only warn, on stderr.
            check_compatibility=False,
        )
        try:
            yield client
        except UnexpectedResponse as error:
            if error.status_code not in (401, 403):
                raise
            raise dg.Failure(
                f"Qdrant at {self.url} (QDRANT_URL) refuses its use: {error.reason_phrase}. Set its "
                f"key as {KEY}.",
                allow_retries=False,
            ) from error
        except ResponseHandlingException as error:
            raise dg.Failure(
                f"Qdrant does not answer at {self.url} (QDRANT_URL): {error}. Start it, or unset "
                "QDRANT_URL to use the embedded engine at QDRANT_PATH."
            ) from error
        finally:
            client.close()

    @contextmanager
    def _embedded(self, path: Path) -> "Iterator[QdrantClient]":
        from qdrant_client import QdrantClient

        with _only_one(path):
            try:
                client = QdrantClient(path=str(path))
            except RuntimeError as error:  # the engine's own lock: a program without ours
                raise _in_use(path) from error
            try:
                yield client
            finally:
                client.close()


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock on the directory.

    The engine reads its list of collections before it takes its own lock. Who opens it in the
    moment in which another closes it would later write the old list back.
    """
    with ExitStack() as held:
        try:
            path.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone(path, _in_use(path)))
        except OSError as error:
            raise dg.Failure(
                f"QDRANT_PATH is {path}, which cannot be used: {error}.", allow_retries=False
            ) from error
        yield


def _in_use(path: Path) -> dg.Failure:
    return dg.Failure(
        f"Another process has the embedded Qdrant at {path} (QDRANT_PATH) open, and only one can: "
        "try again when it is done, or start a Qdrant server and set QDRANT_URL."
    )
