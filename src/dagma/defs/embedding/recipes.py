"""What the embedding learns from: the corpus, and every file of the inbox."""

from typing import TYPE_CHECKING

import dagster as dg

from dagma.defs.recipes import tidy
from dagma.kit.frame import DataFrame

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "embedding"
#: `source` of the recipes that are not from the inbox.
CORPUS = "corpus"

COLUMNS: tidy.Columns = {
    "source": ("str", f"{CORPUS}, or the partition of the inbox that the recipe is from."),
    **tidy.NORMALIZED_COLUMNS,
}


@dg.asset(
    group_name=GROUP,
    kinds={"python", "pandas", "parquet"},
    io_manager_key="parquet_io_manager",
    # A file whose run is not over, or failed, has no table yet.
    ins={"source_ingredients": dg.AssetIn(metadata={"allow_missing_partitions": True})},
    metadata={"dagster/column_schema": tidy.schema(COLUMNS)},
)
def training_recipes(
    normalized_recipes: DataFrame, source_ingredients: dict[str, DataFrame] | None
) -> dg.Output[DataFrame]:
    """The recipes of the corpus and of all files of the inbox, each recipe once."""
    files = source_ingredients or {}
    frame, repeated = together(normalized_recipes, files)
    return dg.Output(
        frame,
        metadata={
            "recipes": int(frame.groupby(["source", "recipe_id"]).ngroups),
            "files": len(files),
            "repeated": repeated,
        },
    )


def together(corpus: DataFrame, files: "Mapping[str, DataFrame]") -> tuple[DataFrame, int]:
    """Put tables with the columns NORMALIZED_COLUMNS below each other.

    Args:
        corpus: The recipes of the corpus.
        files: Partition -> the recipes of a file.

    Returns:
        The table with the columns COLUMNS, and how many recipes were left out because an earlier
        source has one of the same id and the same ingredients.
    """
    import pandas as pd

    tables = [
        table.assign(source=pd.Series(name, index=table.index, dtype="str"))
        for name, table in {CORPUS: corpus, **dict(sorted(files.items()))}.items()
    ]
    frame = pd.concat(tables, ignore_index=True)[list(COLUMNS)]
    recipes = frame.groupby(["source", "recipe_id"], sort=False)["ingredient"]
    content = recipes.agg(lambda names: "\n".join(sorted(names))).reset_index()
    again = content.duplicated(["recipe_id", "ingredient"])
    kept = content.loc[~again, ["source", "recipe_id"]]
    return frame.merge(kept, on=["source", "recipe_id"]), int(again.sum())
