"""Which Qdrant the assets use: QDRANT_URL, otherwise QDRANT_PATH."""

import dagster as dg

from dagma import values
from dagma.kit.closed import closed
from dagma.kit.settings import from_environment
from dagma.kit.vectors.qdrant import QdrantResource

__all__ = ["resources"]


@dg.definitions
def resources() -> dg.Definitions:
    """Bind `qdrant` by the environment."""
    url = from_environment("QDRANT_URL", values.Url)
    path = from_environment("QDRANT_PATH", values.Directory)
    return dg.Definitions(resources=closed({"qdrant": QdrantResource(url=url, path=path)}))
