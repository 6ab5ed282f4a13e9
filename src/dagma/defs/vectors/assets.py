"""The embedding in Qdrant, and what is near what."""

import dagster as dg
from pydantic import Field

from dagma.defs.embedding import plot
from dagma.defs.vectors import collection
from dagma.kit.frame import DataFrame
from dagma.kit.preview import markdown_table
from dagma.kit.vectors.qdrant import QdrantResource

GROUP = "vectors"

# name -> (type, what it holds)
COLUMNS = {
    "ingredient": ("str", "One of the most frequent ingredients."),
    "rank": ("int64", "1 is the nearest neighbour."),
    "neighbour": ("str", "Another ingredient."),
    "similarity": ("float64", "Cosine of the angle between their vectors, from -1 to 1."),
}


class NeighboursConfig(dg.Config):
    """How much `similar_ingredients` shows."""

    ingredients: int = Field(
        default=20, ge=1, le=1_000, description="How many ingredients, most frequent first."
    )
    neighbours: int = Field(default=5, ge=1, le=100, description="How many neighbours of each.")
    min_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Neighbours are in this share of the most frequent ingredient's recipes, or more: "
        "of rarer ones a few recipes say too little.",
    )


@dg.asset(group_name=GROUP, kinds={"python", "qdrant"})
def ingredient_vectors(
    context: dg.AssetExecutionContext,
    ingredient_embedding_model: DataFrame,
    qdrant: QdrantResource,
) -> dg.MaterializeResult[None]:
    """The vectors as a collection of Qdrant, behind the alias `ingredients`."""
    with qdrant.connect() as client:
        published = collection.publish(client, ingredient_embedding_model)
    context.log.info(f"The alias {collection.ALIAS} points to {published.collection}.")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": published.points,
            "alias": collection.ALIAS,
            "collection": published.collection,
            "previous": published.previous or "none",
            "dropped": ", ".join(published.dropped) or "none",
            "qdrant": qdrant.place,
        }
    )


@dg.asset(
    group_name=GROUP,
    kinds={"python", "qdrant"},
    deps=[ingredient_vectors],
    io_manager_key="parquet_io_manager",
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(name, kind, text) for name, (kind, text) in COLUMNS.items()]
        )
    },
)
def similar_ingredients(config: NeighboursConfig, qdrant: QdrantResource) -> dg.Output[DataFrame]:
    """The nearest neighbours of the most frequent ingredients, as Qdrant answers."""
    import pandas as pd

    with qdrant.connect() as client:
        rows = collection.neighbours(
            client, config.ingredients, config.neighbours, config.min_share
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    metadata = {"neighbours": dg.MetadataValue.md(_table(frame))}
    if len(frame):
        metadata["picture"] = dg.MetadataValue.md(plot.neighbours(frame))
    return dg.Output(frame, metadata=metadata)


def _table(frame: DataFrame) -> str:
    """One line per ingredient, a column per rank."""
    shown = frame["neighbour"] + frame["similarity"].map(" {:.2f}".format)
    lines = shown.groupby(frame["ingredient"], sort=False).agg(list)
    ranks = [str(rank) for rank in sorted(frame["rank"].unique())]
    return markdown_table(["ingredient", *ranks], ((name, *cells) for name, cells in lines.items()))
