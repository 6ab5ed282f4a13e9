"""Recipes partitioned by source: one partition per file of the inbox.

The code location has these assets as external ones, beside the job that makes them. A file is what
there is to materialize, and the sensor asks for that when one comes. As assets that anybody may
materialize they would turn "Materialize all" of the web interface into a dialog about partitions: a
dead end while there are none, and a backfill of every file ever dropped once there are some.
"""

import dagster as dg

from dagma.defs import resources as shared
from dagma.defs.ingestion import resources as own
from dagma.defs.ingestion.errors import InboxError
from dagma.defs.ingestion.inbox import Inbox
from dagma.defs.recipes import report, tidy
from dagma.defs.recipes.corpus import read_corpus
from dagma.defs.recipes.errors import RecipesError
from dagma.defs.recipes.source import RecipesSource
from dagma.kit.frame import DataFrame
from dagma.kit.io import resources as io_managers

GROUP = "ingestion"
#: The job that the sensor starts.
INGEST = "ingest_source"

#: One partition per file: NAME-TIME-HASH, see `inbox.Key`.
sources = dg.DynamicPartitionsDefinition(name="recipe_sources")

#: Metadata of `source_recipes`.
SKIPPED_SHARE = "skipped_share"


@dg.asset(
    group_name=GROUP,
    kinds={"python", "pandas", "parquet"},
    io_manager_key="parquet_io_manager",
    partitions_def=sources,
    metadata={"dagster/column_schema": tidy.schema(tidy.RAW_COLUMNS)},
)
def source_recipes(context: dg.AssetExecutionContext, inbox: Inbox) -> dg.Output[DataFrame]:
    """One row per ingredient line of one file of the inbox."""
    try:
        file = inbox.file_of(context.partition_key)
        corpus = read_corpus(file)
    except (InboxError, RecipesError) as error:
        # Without the directory: when somebody reads this, the file is in another one.
        text = str(error).replace(f"{inbox.processing}/", "")
        raise dg.Failure(description=text, allow_retries=False) from error
    frame = tidy.raw_frame(corpus)
    return dg.Output(
        frame,
        metadata={
            "recipes": int(frame["recipe_id"].nunique()),
            **report.skips(("line", "reason"), corpus.skipped),
            SKIPPED_SHARE: corpus.skipped_share,
            "source": file.name,
        },
    )


@dg.asset_check(asset="source_recipes", description="Few recipes of the file are unusable")
def skipped_share(
    context: dg.AssetCheckExecutionContext, recipes_source: RecipesSource
) -> dg.AssetCheckResult:
    """Fail when too much of the run's file was skipped; started by hand, of any file."""
    key = context.run.tags.get("dagster/partition")
    keys = [key] if key else context.instance.get_dynamic_partitions(str(sources.name))
    found = (_share(context.instance, key) for key in keys)
    share = max((share for share in found if share is not None), default=0.0)
    return report.share_check(share, recipes_source.max_skipped_share)


def _share(instance: dg.DagsterInstance, key: str) -> float | None:
    """What the last materialization of a partition says; None when there is none."""
    records = dg.AssetRecordsFilter(dg.AssetKey("source_recipes"), asset_partitions=[key])
    for record in instance.fetch_materializations(records, limit=1).records:
        if (found := record.asset_materialization) and SKIPPED_SHARE in found.metadata:
            return float(str(found.metadata[SKIPPED_SHARE].value))
    return None


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


@dg.definitions
def ingestion() -> dg.Definitions:
    """The job `ingest_source`, with the assets that it makes as external ones."""
    bound = [made().resources for made in (shared.own, own.resources, io_managers.resources)]
    job = dg.define_asset_job(
        INGEST,
        selection=dg.AssetSelection.groups(GROUP),
        description="Reads one file of the inbox, which is a partition.",
    )
    made = dg.Definitions(
        [source_recipes, source_ingredients],
        asset_checks=[skipped_share],
        jobs=[job],
        resources={name: one for found in bound for name, one in (found or {}).items()},
        executor=dg.in_process_executor,
    )
    specs = [_external(asset) for asset in (source_recipes, source_ingredients)]
    return dg.Definitions(
        assets=specs, asset_checks=[skipped_share], jobs=[made.resolve_job_def(INGEST)]
    )


def _external(asset: dg.AssetsDefinition) -> dg.AssetSpec:
    [spec] = asset.specs
    return spec.with_io_manager_key("parquet_io_manager")
