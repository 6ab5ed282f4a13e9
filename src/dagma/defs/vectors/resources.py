"""Which Qdrant the assets use: QDRANT_URL, otherwise QDRANT_PATH."""

import os

import dagster as dg

from dagma.defs.vectors.qdrant import QdrantResource


@dg.definitions
def resources() -> dg.Definitions:
    """Bind `qdrant` by the environment."""
    url, path = (_from_environment(name) for name in ("QDRANT_URL", "QDRANT_PATH"))
    return dg.Definitions(resources={"qdrant": QdrantResource(url=url, path=path)})


def _from_environment(variable: str) -> str:
    return dg.EnvVar(variable) if os.environ.get(variable) else ""
