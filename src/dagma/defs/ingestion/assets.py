"""Recipes partitioned by source: one partition per file of the inbox."""

from collections.abc import Iterator

import dagster as dg

from dagma.defs.ingestion.errors import InboxError
from dagma.defs.ingestion.inbox import Inbox
from dagma.defs.recipes import report, tidy
from dagma.defs.recipes.corpus import read_corpus
from dagma.defs.recipes.errors import RecipesError
from dagma.defs.recipes.frame import DataFrame
from dagma.defs.recipes.source import RecipesSource

GROUP = "ingestion"

#: One partition per file: NAME-TIME-HASH, see `inbox.Key`.
sources = dg.DynamicPartitionsDefinition(name="recipe_sources")

type Results = Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]


@dg.asset(
    group_name=GROUP,
    kinds={"python", "pandas", "parquet"},
    io_manager_key="parquet_io_manager",
    partitions_def=sources,
    metadata={"dagster/column_schema": tidy.schema(tidy.RAW_COLUMNS)},
    check_specs=[
        dg.AssetCheckSpec(
            "skipped_share", asset="source_recipes", description="Few recipes are unusable"
        )
    ],
)
def source_recipes(
    context: dg.AssetExecutionContext, inbox: Inbox, recipes_source: RecipesSource
) -> Results:
    """One row per ingredient line of one file of the inbox."""
    try:
        file = inbox.file_of(context.partition_key)
        corpus = read_corpus(file)
    except (InboxError, RecipesError) as error:
        # Without the directory: when somebody reads this, the file is in another one.
        text = str(error).replace(f"{inbox.processing}/", "")
        raise dg.Failure(description=text, allow_retries=False) from error
    frame = tidy.raw_frame(corpus)
    yield dg.Output(
        frame,
        metadata={
            "recipes": int(frame["recipe_id"].nunique()),
            **report.skips(("line", "reason"), corpus.skipped),
            "source": file.name,
        },
    )
    yield report.share_check(corpus.skipped_share, recipes_source.max_skipped_share)


@dg.asset(
    group_name=GROUP,
    kinds={"python", "pandas", "parquet"},
    io_manager_key="parquet_io_manager",
    partitions_def=sources,
    metadata={"dagster/column_schema": tidy.schema(tidy.NORMALIZED_COLUMNS)},
)
def source_ingredients(source_recipes: DataFrame) -> dg.Output[DataFrame]:
    """One row per recipe and ingredient of one file of the inbox, with normalised names."""
    result = tidy.normalized_frame(source_recipes)
    return dg.Output(
        result.frame,
        metadata={
            "recipes": int(result.frame["recipe_id"].nunique()),
            **report.skips(("recipe", "text", "reason"), result.skipped),
            "repeated": result.repeated,
        },
    )


ingest_source = dg.define_asset_job(
    "ingest_source",
    selection=dg.AssetSelection.groups(GROUP),
    description="Reads one file of the inbox, which is a partition.",
)
