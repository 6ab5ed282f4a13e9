"""Reading ``.env`` strictly: python-dotenv's syntax without interpolation, and no silent mistakes."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import Binding, parse_stream

from dagma.errors import SettingsError


class Line(NamedTuple):
    """One assignment: its value and the number of its line, counted from 1."""

    value: str
    number: int


def read(path: Path) -> dict[str, Line]:
    """All assignments of the file; none when there is no file.

    Raises:
        SettingsError: The file is unreadable, or a line is no assignment, repeated, without "=" or
            with a NUL.
    """
    found: dict[str, Line] = {}
    for binding in _bindings(path):
        if binding.key is None and not binding.error:
            continue  # blank or a comment
        number = binding.original.line + _blank_lines_before(binding)
        if binding.error or binding.key is None or not binding.key.isidentifier():
            raise SettingsError(f"Line {number} of .env is not of the form NAME=value.")
        if binding.value is None:
            raise SettingsError(f"{binding.key} in line {number} of .env has no = and no value.")
        if "\0" in binding.value:  # no process could be given it
            raise SettingsError(f"{binding.key} in line {number} of .env holds a NUL character.")
        if binding.key in found:
            first = found[binding.key].number
            raise SettingsError(
                f"{binding.key} is set twice in .env, in lines {first} and {number}."
            )
        found[binding.key] = Line(binding.value, number)
    return found


def similar(name: str, names: Iterable[str]) -> str | None:
    """The setting that was probably meant, if any."""
    close = get_close_matches(name.upper(), list(names), n=1, cutoff=0.75)
    return close[0] if close else None


def one_edit_apart(left: str, right: str) -> bool:
    """Whether one slip of a finger (or only the case) lies between two names."""
    if len(left) > len(right):
        left, right = right, left
    start = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), len(left)
    )
    a, b = left[start:], right[start:]
    swapped = len(a) == len(b) > 1 and a[1] + a[0] + a[2:] == b
    return a[1:] == b[1:] or a == b[1:] or swapped


def _bindings(path: Path) -> list[Binding]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            return list(parse_stream(stream))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"The file .env cannot be read: {reason}.") from error


def _blank_lines_before(binding: Binding) -> int:
    """python-dotenv counts the blank lines before an assignment as part of it."""
    text = binding.original.string
    return text[: len(text) - len(text.lstrip())].count("\n")
