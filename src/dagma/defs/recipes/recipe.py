"""One recipe as a reader gives it."""

from typing import NamedTuple


class Line(NamedTuple):
    """One ingredient line of a recipe as it was written."""

    quantity: str
    ingredient: str


class Recipe(NamedTuple):
    """One usable recipe; `line` is where it starts in its file."""

    line: int
    id: str
    cuisine: str
    lines: list[Line]


class Skipped(NamedTuple):
    """One recipe that cannot be used, and why."""

    line: int
    reason: str


def clean(text: str) -> str:
    """Make text fit for one table cell: no control characters, single spaces, trimmed.

    Databases refuse NUL and lone surrogates, so neither may leave the reader.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())
