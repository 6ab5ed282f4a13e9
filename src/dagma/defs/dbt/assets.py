"""The table that dbt's models read, and the job that makes it and them."""

import dagster as dg

from dagma.defs.dbt.manifest import GROUP
from dagma.defs.recipes import tidy
from dagma.kit.frame import DataFrame


@dg.asset(
    group_name=GROUP,
    kinds={"postgres"},
    io_manager_key="postgres_io_manager",
    metadata={"dagster/column_schema": tidy.schema(tidy.NORMALIZED_COLUMNS)},
)
def recipe_ingredients(normalized_recipes: DataFrame) -> DataFrame:
    """`normalized_recipes` as a table in PostgreSQL, where dbt's models begin."""
    return normalized_recipes


analytics = dg.define_asset_job(
    "analytics",
    selection=dg.AssetSelection.groups(GROUP),
    description="Writes the recipes to PostgreSQL, then builds and tests dbt's models on them.",
)
