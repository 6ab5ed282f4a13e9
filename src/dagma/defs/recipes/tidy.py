"""The two tables of the recipes, and the columns they promise."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from dagma.defs.recipes.corpus import Corpus
from dagma.defs.recipes.normalize import normalize
from dagma.kit.frame import DataFrame

type Columns = dict[str, tuple[str, str]]

# name -> (type, what it holds)
RAW_COLUMNS: Columns = {
    "recipe_id": ("str", "The recipe's id in the corpus."),
    "cuisine": ("str", "The cuisine, missing where the corpus has none."),
    "position": ("int64", "The line's place in the recipe, from 1."),
    "quantity": ("str", "Amount and unit as written, empty where the corpus has them in the text."),
    "text": ("str", "The ingredient as written."),
}
NORMALIZED_COLUMNS: Columns = {
    "recipe_id": RAW_COLUMNS["recipe_id"],
    "cuisine": RAW_COLUMNS["cuisine"],
    "position": RAW_COLUMNS["position"],
    "ingredient": ("str", "The normalised name, once per recipe, never empty."),
    "amount": (
        "float64",
        "The amount, missing where none is written; a range counts as its middle.",
    ),
    "unit": ("str", "The canonical unit, missing where none is written or known."),
    "text": RAW_COLUMNS["text"],
}

type SkippedLine = tuple[str, str, str]


@dataclass(frozen=True)
class Normalized:
    """The tidy table, and what is not in it."""

    frame: DataFrame
    skipped: list[SkippedLine]
    """Lines that name nothing: recipe id, text, reason."""
    repeated: int
    """How often an ingredient came again in its recipe; the first mention stays."""


def schema(columns: Columns) -> dg.TableSchema:
    """Describe columns for Dagster's catalog."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, type=kind, description=description)
            for name, (kind, description) in columns.items()
        ]
    )


def raw_frame(corpus: Corpus) -> DataFrame:
    """Lay out a corpus with the columns RAW_COLUMNS, one row per ingredient line."""
    rows = [
        (recipe.id, recipe.cuisine or None, position, line.quantity, line.ingredient)
        for recipe in corpus.recipes
        for position, line in enumerate(recipe.lines, 1)
    ]
    return _frame(rows, RAW_COLUMNS)


def normalized_frame(raw: DataFrame) -> Normalized:
    """Normalise a table with the columns RAW_COLUMNS into one with NORMALIZED_COLUMNS."""
    skipped: list[SkippedLine] = []
    rows: list[tuple[object, ...]] = []
    # Corpora repeat themselves: each distinct line is normalised once.
    pairs = raw[["text", "quantity"]].drop_duplicates().itertuples(index=False, name=None)
    found = {pair: normalize(*pair) for pair in pairs}
    for recipe, cuisine, position, quantity, text in raw.itertuples(index=False, name=None):
        ingredients = found[text, quantity]
        rows += [(recipe, cuisine, position, *ingredient, text) for ingredient in ingredients]
        if not ingredients:
            skipped.append((recipe, text, "no ingredient is left without amounts and descriptors"))
    frame = _frame(rows, NORMALIZED_COLUMNS)
    once = frame.drop_duplicates(["recipe_id", "ingredient"], ignore_index=True)
    return Normalized(once, skipped, len(frame) - len(once))


def _frame(rows: Sequence[tuple[object, ...]], columns: Columns) -> DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.astype({name: kind for name, (kind, _) in columns.items()})
