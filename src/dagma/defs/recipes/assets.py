"""The corpus as read, and with its ingredients normalised."""

from collections.abc import Iterator

import dagster as dg

from dagma.defs.recipes import report, tidy
from dagma.defs.recipes.errors import RecipesError
from dagma.defs.recipes.source import RecipesSource
from dagma.kit.frame import DataFrame

GROUP = "recipes"

type Results = Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]


@dg.asset(
    group_name=GROUP,
    kinds={"python", "pandas", "parquet"},
    io_manager_key="parquet_io_manager",
    metadata={"dagster/column_schema": tidy.schema(tidy.RAW_COLUMNS)},
    check_specs=[
        dg.AssetCheckSpec("skipped_share", asset="raw_recipes", description="Few rows are unusable")
    ],
)
def raw_recipes(recipes_source: RecipesSource) -> Results:
    """One row per ingredient line of the corpus that RECIPES_SOURCE names."""
    try:
        corpus = recipes_source.read()
    except RecipesError as error:
        # The same file fails the same way again, so a retry would only hide the sentence.
        raise dg.Failure(description=str(error), allow_retries=False) from error
    frame = tidy.raw_frame(corpus)
    yield dg.Output(
        frame,
        metadata={
            "recipes": int(frame["recipe_id"].nunique()),
            **report.skips(("line", "reason"), corpus.skipped),
            "source": dg.MetadataValue.path(str(corpus.path)),
        },
    )
    yield report.share_check(corpus.skipped_share, recipes_source.max_skipped_share)


@dg.asset(
    group_name=GROUP,
    kinds={"python", "pandas", "parquet"},
    io_manager_key="parquet_io_manager",
    metadata={"dagster/column_schema": tidy.schema(tidy.NORMALIZED_COLUMNS)},
    check_specs=[
        dg.AssetCheckSpec(
            "skipped_share", asset="normalized_recipes", description="Few lines name nothing"
        )
    ],
)
def normalized_recipes(raw_recipes: DataFrame, recipes_source: RecipesSource) -> Results:
    """One row per recipe and ingredient, with the ingredient's normalised name."""
    result = tidy.normalized_frame(raw_recipes)
    yield dg.Output(
        result.frame,
        metadata={
            "recipes": int(result.frame["recipe_id"].nunique()),
            **report.skips(("recipe", "text", "reason"), result.skipped),
            "ingredients": int(result.frame["ingredient"].nunique()),
            "repeated": result.repeated,
        },
    )
    share = len(result.skipped) / max(len(raw_recipes), 1)
    yield report.share_check(share, recipes_source.max_skipped_share)


recipes = dg.define_asset_job(
    "recipes",
    selection=dg.AssetSelection.assets("raw_recipes", "normalized_recipes"),
    description="Reads the corpus and tidies it.",
)
