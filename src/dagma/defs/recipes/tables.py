"""Corpora as JSON and as CSV: an id, ingredients and, if known, a cuisine per recipe."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from dagma.defs.recipes.errors import MalformedCorpus
from dagma.defs.recipes.recipe import Line, Recipe, Skipped, clean

CSV_SEPARATOR = ";"
CSV_REQUIRED = ("id", "ingredients")

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")


def read_json(path: Path, text: str) -> Iterator[Recipe | Skipped]:
    """Read a JSON list of objects.

    The list's items are decoded one by one: that costs no more than decoding the whole, and each
    recipe keeps the line it starts on.

    Args:
        path: Named in errors.
        text: The file's content.

    Yields:
        A recipe, or the reason why there is none, per item of the list.

    Raises:
        MalformedCorpus: The text is not JSON, or not a list.
    """
    for line, item in _items(path, text):
        if isinstance(item, dict):
            yield _recipe(line, item.get("id"), item.get("ingredients"), item.get("cuisine"))
        else:
            yield Skipped(line, "it is not an object")


def read_csv(path: Path, text: str) -> Iterator[Recipe | Skipped]:
    """Read a CSV table with the columns `id`, `ingredients` (separated by `;`) and maybe `cuisine`.

    Args:
        path: Named in errors.
        text: The file's content.

    Yields:
        A recipe, or the reason why there is none, per row.

    Raises:
        MalformedCorpus: There is no such header, or the quoting is broken.
    """
    rows = _csv_rows(path, text)
    _, header = next(rows, (1, []))
    names = [name.strip().lower() for name in header]
    for name in CSV_REQUIRED:
        if name not in names:
            raise MalformedCorpus(path, 1, f"the header has no column {name}.")
    for line, row in rows:
        yield _csv_recipe(line, names, row)


def _items(path: Path, text: str) -> Iterator[tuple[int, object]]:
    cursor = _Cursor(path, text)
    mark = cursor.take("[", "expected a JSON list of recipes, which starts with [.")
    if cursor.next_is("]"):
        mark = cursor.take("]", "")
    while mark != "]":
        yield cursor.line, cursor.decode()
        mark = cursor.take(",]", "expected , or ] after a recipe.")
    cursor.end("there is text after the end of the list.")


class _Cursor:
    """A place in a JSON text, always before something that is not blank, and its line."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._position, self.line = 0, 1
        self._move(0)

    def next_is(self, mark: str) -> bool:
        return self._text.startswith(mark, self._position)

    def take(self, marks: str, otherwise: str) -> str:
        mark = self._text[self._position : self._position + 1]
        if not mark or mark not in marks:
            raise MalformedCorpus(self._path, self.line, otherwise)
        self._move(self._position + 1)
        return mark

    def decode(self) -> object:
        try:
            item, end = _DECODER.raw_decode(self._text, self._position)
        except json.JSONDecodeError as error:
            why = f"this is not JSON: {error.msg}."
            raise MalformedCorpus(self._path, error.lineno, why) from error
        except (RecursionError, ValueError) as error:
            why = "this recipe is nested too deeply or holds too long a number."
            raise MalformedCorpus(self._path, self.line, why) from error
        self._move(end)
        return item

    def end(self, otherwise: str) -> None:
        if self._position != len(self._text):
            raise MalformedCorpus(self._path, self.line, otherwise)

    def _move(self, position: int) -> None:
        blank = _BLANK.match(self._text, position)
        end = blank.end() if blank else position
        self.line += self._text.count("\n", self._position, end)
        self._position = end


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise MalformedCorpus(path, line, f"this is not CSV: {error}.") from error


def _csv_recipe(line: int, names: list[str], row: list[str]) -> Recipe | Skipped:
    if len(row) != len(names):
        return Skipped(line, f"it has {len(row)} columns and the header {len(names)}")
    fields = dict(zip(names, row, strict=True))
    ingredients = fields["ingredients"].split(CSV_SEPARATOR)
    return _recipe(line, fields["id"], ingredients, fields.get("cuisine"))


def _recipe(line: int, id_: object, ingredients: object, cuisine: object) -> Recipe | Skipped:
    try:
        return Recipe(line, _id(id_), _cuisine(cuisine), _lines(ingredients))
    except ValueError as error:
        return Skipped(line, str(error))


def _id(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("its id is neither text nor a whole number")
    text = clean(str(value))
    if not text:
        raise ValueError("its id is empty")
    return text


def _cuisine(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("its cuisine is not text")
    return clean(value)


def _lines(value: object) -> list[Line]:
    if not isinstance(value, list):
        raise ValueError("its ingredients are not a list")
    if not all(isinstance(item, str) for item in value):
        raise ValueError("an ingredient is not text")
    lines = [Line("", text) for item in value if (text := clean(item))]
    if not lines:
        raise ValueError("it has no ingredients")
    return lines
