"""The corpus as read, and with its ingredients normalised."""

from collections.abc import Iterator, Sequence

import dagster as dg

from dagma.defs.preview import markdown_table
from dagma.defs.recipes import tidy
from dagma.defs.recipes.errors import RecipesError
from dagma.defs.recipes.frame import DataFrame
from dagma.defs.recipes.source import RecipesSource

GROUP = "recipes"
PREVIEW_ROWS = 10
SKIPPED_ROWS = 5

type Results = Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]


@dg.asset(
    group_name=GROUP,
    kinds={"python", "pandas"},
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
            **_overview(frame),
            **_skips(("line", "reason"), corpus.skipped),
            "source": dg.MetadataValue.path(str(corpus.path)),
        },
    )
    yield _share_check(corpus.skipped_share, recipes_source.max_skipped_share)


@dg.asset(
    group_name=GROUP,
    kinds={"python", "pandas"},
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
            **_overview(result.frame),
            **_skips(("recipe", "text", "reason"), result.skipped),
            "ingredients": int(result.frame["ingredient"].nunique()),
            "repeated": result.repeated,
        },
    )
    share = len(result.skipped) / max(len(raw_recipes), 1)
    yield _share_check(share, recipes_source.max_skipped_share)


def _overview(frame: DataFrame) -> dict[str, dg.MetadataValue]:
    first = frame.head(PREVIEW_ROWS).astype(object)
    shown = first.where(first.notna(), "").itertuples(index=False)
    preview = markdown_table(list(frame.columns), shown)
    return {
        "dagster/row_count": dg.MetadataValue.int(len(frame)),
        "recipes": dg.MetadataValue.int(int(frame["recipe_id"].nunique())),
        "preview": dg.MetadataValue.md(preview),
    }


def _skips(
    columns: Sequence[str], skipped: Sequence[Sequence[object]]
) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"skipped": dg.MetadataValue.int(len(skipped))}
    if skipped:
        table = markdown_table(columns, skipped[:SKIPPED_ROWS])
        metadata["skipped_first"] = dg.MetadataValue.md(table)
    return metadata


def _share_check(share: float, limit: float) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="skipped_share",
        passed=share <= limit,
        metadata={"skipped_share": share, "limit": limit},
    )


recipes = dg.define_asset_job(
    "recipes", selection=dg.AssetSelection.assets("raw_recipes", "normalized_recipes")
)
