"""A collection per model, and the alias that readers use.

A collection is named after its content, so the same model lands in the same collection, and one
that a killed run left half filled is completed by the next. Readers ask the alias; it is switched,
in one operation, when the collection is complete.
"""

import hashlib
import heapq
import uuid
from collections.abc import Iterator
from itertools import batched
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from dagma.kit.frame import DataFrame

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from qdrant_client.models import PointStruct

ALIAS = "ingredients"
PREFIX = f"{ALIAS}-"
BATCH = 256


class Published(NamedTuple):
    """What `publish` did."""

    collection: str
    points: int
    previous: str
    """The collection that the alias pointed to before; it stays, to go back to. Maybe empty."""
    dropped: list[str]
    """Older collections."""


def publish(client: "QdrantClient", frame: DataFrame) -> Published:
    """Write a model's vectors and let the alias point to them.

    Args:
        client: Of a server or of the embedded engine.
        frame: Columns `ingredient`, `recipes` and `vector`, at least one row.

    Returns:
        What was written. The same frame again changes nothing.

    Raises:
        Failure: The collection does not hold all points afterwards; the alias stays as it was.
    """
    name = PREFIX + _digest(frame)
    _fill(client, name, frame)
    if (count := client.count(name, exact=True).count) != len(frame):
        raise dg.Failure(
            f"The collection {name} has {count} points of {len(frame)}; the alias {ALIAS} still "
            "points to the collection before it."
        )
    previous = target(client)
    dropped = []
    if previous != name:
        _switch(client, name, had=bool(previous))
        dropped = _drop_others(client, {name, previous})
    return Published(name, count, previous if previous != name else "", dropped)


def neighbours(
    client: "QdrantClient", ingredients: int, limit: int, min_share: float = 0.0
) -> list[tuple[str, int, str, float]]:
    """Look up what is nearest to the most frequent ingredients, as readers of the alias see it.

    Args:
        client: Of a server or of the embedded engine.
        ingredients: How many of them.
        limit: How many neighbours of each.
        min_share: Neighbours are in this share of the most frequent ingredient's recipes, or more.

    Returns:
        Rows of ingredient, rank from 1, neighbour, cosine similarity.

    Raises:
        Failure: There is no alias yet.
    """
    from qdrant_client.models import FieldCondition, Filter, QueryRequest, Range

    if not (name := target(client)):
        raise dg.Failure(
            f"Qdrant has no alias {ALIAS}: materialize ingredient_vectors first.",
            allow_retries=False,
        )
    frequent = heapq.nsmallest(ingredients, _counted(client, name))
    least = -min((count for count, _ in frequent), default=0) * min_share
    common = Filter(must=[FieldCondition(key="recipes", range=Range(gte=least))])
    requests = [
        QueryRequest(
            query=point_id(ingredient), limit=limit, filter=common, with_payload=["ingredient"]
        )
        for _, ingredient in frequent
    ]
    answers = client.query_batch_points(name, requests)
    return [
        (ingredient, rank, (point.payload or {})["ingredient"], point.score)
        for (_, ingredient), answer in zip(frequent, answers, strict=True)
        for rank, point in enumerate(answer.points, 1)
    ]


def _counted(client: "QdrantClient", name: str) -> Iterator[tuple[int, str]]:
    """Every ingredient behind its number of recipes, made negative: the most frequent is least."""
    page = None
    while True:
        records, page = client.scroll(name, limit=BATCH, offset=page)
        for record in records:
            payload = record.payload or {}
            yield -payload["recipes"], payload["ingredient"]
        if page is None:
            return


def target(client: "QdrantClient") -> str:
    """The collection that the alias points to; empty when there is none."""
    found = client.get_aliases().aliases
    return next((alias.collection_name for alias in found if alias.alias_name == ALIAS), "")


def point_id(ingredient: str) -> str:
    """The id of an ingredient's point, the same in every collection: Qdrant takes no names."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, ingredient))


def _digest(frame: DataFrame) -> str:
    import numpy as np

    digest = hashlib.sha256()
    digest.update("\n".join(frame["ingredient"]).encode())
    digest.update(np.ascontiguousarray(frame["recipes"], dtype="<i8").tobytes())
    digest.update(np.stack(frame["vector"].tolist()).astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def _fill(client: "QdrantClient", name: str, frame: DataFrame) -> None:
    from qdrant_client.models import Distance, VectorParams

    if not client.collection_exists(name):
        size = len(frame["vector"].iloc[0])
        client.create_collection(name, VectorParams(size=size, distance=Distance.COSINE))
    for points in batched(_points(frame), BATCH, strict=False):
        client.upsert(name, list(points), wait=True)


def _points(frame: DataFrame) -> "Iterator[PointStruct]":
    from qdrant_client.models import PointStruct

    columns = frame[["ingredient", "recipes", "vector"]]
    for ingredient, recipes, vector in columns.itertuples(index=False, name=None):
        yield PointStruct(
            id=point_id(ingredient),
            vector=[float(value) for value in vector],
            payload={"ingredient": ingredient, "recipes": int(recipes)},
        )


def _switch(client: "QdrantClient", name: str, *, had: bool) -> None:
    from qdrant_client.models import (
        CreateAlias,
        CreateAliasOperation,
        DeleteAlias,
        DeleteAliasOperation,
    )

    create = CreateAliasOperation(create_alias=CreateAlias(collection_name=name, alias_name=ALIAS))
    delete = DeleteAliasOperation(delete_alias=DeleteAlias(alias_name=ALIAS))
    client.update_collection_aliases([delete, create] if had else [create])


def _drop_others(client: "QdrantClient", kept: set[str]) -> list[str]:
    names = [collection.name for collection in client.get_collections().collections]
    dropped = sorted(name for name in names if name.startswith(PREFIX) and name not in kept)
    for name in dropped:
        client.delete_collection(name)
    return dropped
