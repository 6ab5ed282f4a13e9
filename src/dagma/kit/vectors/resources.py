"""Which Qdrant the assets use: QDRANT_URL, otherwise QDRANT_PATH."""

import dagster as dg

from dagma.kit.closed import closed
from dagma.kit.from_environment import from_environment
from dagma.kit.vectors.qdrant import QdrantResource


@dg.definitions
def resources() -> dg.Definitions:
    """Bind `qdrant` by the environment."""
    url, path = (from_environment(name) for name in ("QDRANT_URL", "QDRANT_PATH"))
    return dg.Definitions(resources=closed({"qdrant": QdrantResource(url=url, path=path)}))
