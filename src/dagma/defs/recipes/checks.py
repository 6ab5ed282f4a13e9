"""What must hold for the normalised recipes, whatever the corpus."""

import dagster as dg

from dagma.kit.frame import DataFrame

ASSET = "normalized_recipes"


@dg.asset_check(asset=ASSET, blocking=True, description="Every row has a name")
def no_empty_names(normalized_recipes: DataFrame) -> dg.AssetCheckResult:
    """Fail when a name is missing or blank."""
    names = normalized_recipes["ingredient"]
    empty = int((names.isna() | (names.str.strip() == "")).sum())
    return dg.AssetCheckResult(passed=empty == 0, metadata={"empty": empty})


@dg.asset_check(asset=ASSET, blocking=True, description="No recipe names an ingredient twice")
def no_repeated_ingredients(normalized_recipes: DataFrame) -> dg.AssetCheckResult:
    """Fail when a recipe has two rows of one name."""
    repeated = int(normalized_recipes.duplicated(["recipe_id", "ingredient"]).sum())
    return dg.AssetCheckResult(passed=repeated == 0, metadata={"repeated": repeated})


@dg.asset_check(asset=ASSET, description="Amounts are positive numbers")
def amounts_are_positive(normalized_recipes: DataFrame) -> dg.AssetCheckResult:
    """Fail when an amount that is there is zero, negative or infinite."""
    amounts = normalized_recipes["amount"].dropna()
    wrong = int((~amounts.between(0, float("inf"), inclusive="neither")).sum())
    return dg.AssetCheckResult(passed=wrong == 0, metadata={"wrong": wrong})


@dg.asset_check(
    asset=ASSET,
    additional_ins={"raw_recipes": dg.AssetIn("raw_recipes")},
    description="Every recipe of raw_recipes is still there",
)
def every_recipe_kept(normalized_recipes: DataFrame, raw_recipes: DataFrame) -> dg.AssetCheckResult:
    """Fail when normalisation left a recipe without any ingredient."""
    lost = sorted(set(raw_recipes["recipe_id"]) - set(normalized_recipes["recipe_id"]))
    return dg.AssetCheckResult(
        passed=not lost, metadata={"lost": len(lost), "first": ", ".join(lost[:5])}
    )
