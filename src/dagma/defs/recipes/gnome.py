r"""The database of GNOME Recipes, `recipes.db`.

It is a GLib key file: a group per recipe, `key=value` lines, values escaped. `Ingredients` holds the
fields amount, unit, ingredient and section of each ingredient, separated by tabs (here `→`), and the
ingredients are separated by the escape of a line break:

    [R_Bread]
    Cuisine=German
    Ingredients=500→g→Flour→Dough\n1→tsp→Salt→Dough\n
"""

import re
from collections.abc import Iterator
from pathlib import Path

from dagma.defs.recipes.errors import MalformedCorpus
from dagma.defs.recipes.recipe import Line, Recipe, Skipped, clean

ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
NOT_A_RECIPE = "Metadata"

type Group = tuple[int, str, dict[str, str]]


def read(path: Path, text: str) -> Iterator[Recipe | Skipped]:
    """Read the recipes of a key file.

    Args:
        path: Named in errors.
        text: The file's content.

    Yields:
        A recipe, or the reason why there is none, per group.

    Raises:
        MalformedCorpus: A line is no group, no `key=value`, no comment, or stands before any group.
    """
    for line, name, keys in _groups(path, text):
        if name == NOT_A_RECIPE:
            continue
        try:
            yield Recipe(line, clean(name), _cuisine(keys), _lines(keys))
        except ValueError as error:
            yield Skipped(line, str(error))


def _groups(path: Path, text: str) -> Iterator[Group]:
    group: Group | None = None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            if group:
                yield group
            group = (number, _group_name(path, number, line), {})
        else:
            key, value = _key_value(path, number, line)
            if group is None:
                raise MalformedCorpus(path, number, f"{key} stands before the first [group].")
            group[2][key] = value
    if group:
        yield group


def _group_name(path: Path, number: int, line: str) -> str:
    name = line.rstrip()[1:-1]
    if not line.rstrip().endswith("]") or not clean(name):
        raise MalformedCorpus(path, number, "a group must be written as [name].")
    return name


def _key_value(path: Path, number: int, line: str) -> tuple[str, str]:
    key, equals, value = line.partition("=")
    if not equals or not key.strip():
        raise MalformedCorpus(path, number, "expected [group], key=value or # comment.")
    return key.strip(), value.lstrip(" \t")


def _cuisine(keys: dict[str, str]) -> str:
    return clean(unescape("Cuisine", keys.get("Cuisine", "")))


def _lines(keys: dict[str, str]) -> list[Line]:
    if "Ingredients" not in keys:
        raise ValueError("it has no Ingredients")
    written = unescape("Ingredients", keys["Ingredients"]).split("\n")
    lines = [_line(number, text) for number, text in enumerate(written, 1) if text.strip()]
    if not lines:
        raise ValueError("its Ingredients are empty")
    return lines


def _line(number: int, text: str) -> Line:
    fields = text.split("\t")
    if len(fields) not in (3, 4):
        raise ValueError(f"ingredient {number} has {len(fields)} tab-separated fields instead of 4")
    amount, unit, ingredient = (clean(field) for field in fields[:3])
    if not ingredient:
        raise ValueError(f"ingredient {number} has no name")
    return Line(f"{amount} {unit}".strip(), ingredient)


def unescape(key: str, value: str) -> str:
    """Undo the escapes of a value.

    Raises:
        ValueError: An escape is unknown; the message names the key.
    """

    def replace(match: re.Match[str]) -> str:
        if match[1] not in ESCAPES:
            raise ValueError(f"{key} holds the unknown escape \\{clean(match[1])}")
        return ESCAPES[match[1]]

    return re.sub(r"\\(.?)", replace, value, flags=re.DOTALL)
