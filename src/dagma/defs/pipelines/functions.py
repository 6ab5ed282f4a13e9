"""What the pipelines of this folder call: plain functions that know nothing of Dagster."""

import random
import warnings
from collections.abc import Sequence

from dagma.kit.frame import DataFrame


def split_by_cuisine(recipes: DataFrame) -> dict[str, DataFrame]:
    """Part the rows into those of recipes with a known cuisine and the others."""
    known = recipes["cuisine"].notna()
    return {"known": recipes[known], "unknown": recipes[~known]}


def most_common(rows: DataFrame, count: int) -> DataFrame:
    """The ingredients of the most recipes, in order, and how many recipes those are."""
    if rows.empty:
        warnings.warn("there are no rows, as where no recipe has a cuisine", stacklevel=2)
    found = rows.groupby("ingredient")["recipe_id"].nunique()
    ordered = found.sort_values(ascending=False, kind="stable").head(count)
    return ordered.rename("recipes").reset_index()


def roll(seed: int, times: int) -> dict[str, list[int]]:
    """Throw two dice, each so many times."""
    dice = random.Random(seed)
    return {die: [dice.randint(1, 6) for _ in range(times)] for die in ("first", "second")}


def total(first: Sequence[int], second: Sequence[int]) -> int:
    """The sum of all throws."""
    return sum(first) + sum(second)
