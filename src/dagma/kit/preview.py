"""Markdown tables for the metadata of materializations."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["frame_metadata", "markdown_table"]

CELL_LIMIT = 80
PREVIEW_ROWS = 10


def frame_metadata(frame: "DataFrame") -> dict[str, dg.MetadataValue]:
    """The number of rows of a DataFrame, and a table of the first ten; missing cells are empty."""
    first = frame.head(PREVIEW_ROWS).astype(object)
    shown = first.where(first.notna(), "").itertuples(index=False)
    preview = markdown_table(list(frame.columns), shown)
    return {
        "dagster/row_count": dg.MetadataValue.int(len(frame)),
        "preview": dg.MetadataValue.md(preview),
    }


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out rows as a Markdown table.

    Args:
        columns: The header, one name per column.
        rows: Sequences as long as the header; a cell is cut after 80 characters.

    Returns:
        The table's text, without a closing newline.
    """
    header = [columns, ["---"] * len(columns)]
    return "\n".join(_line(row) for row in (*header, *rows))


def _line(row: Sequence[object]) -> str:
    return "| " + " | ".join(_cell(value) for value in row) + " |"


def _cell(value: object) -> str:
    # A pipe or a line break inside a cell would end it.
    text = " ".join(str(value).split())
    shown = text if len(text) <= CELL_LIMIT else text[: CELL_LIMIT - 1] + "…"
    return shown.replace("\\", "\\\\").replace("|", "\\|")
