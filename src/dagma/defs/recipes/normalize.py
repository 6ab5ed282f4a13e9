"""From "2 ½ cups finely chopped fresh tomatoes (about 3)" to 2.5, cup, tomato.

Rules, no model: the same text always gives the same name, and a wrong name can be traced to the
word in `vocabulary` that made it.
"""

import math
import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from dagma.defs.recipes import vocabulary as words

if TYPE_CHECKING:
    from pluralizer import Pluralizer

_VULGAR_FRACTION = re.compile("([¼-¾⅐-⅞↉])")
_LATIN_ACCENT = re.compile("([a-z])[\u0300-\u036f]+")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_MEASURE_HYPHEN = re.compile(r"(\d)-(?=(?:inch|ounce|oz|pound|lb|cm|cup|quart|gram)\b)")
_NUMBER = r"(?:\d+ \d+/\d+|\d+/\d+|\d+(?:,\d{3})+(?!\d)|\d+(?:[.,]\d+)?)"
# No amounts: the 5 of "5-spice" and the 1 of "1% milk".
_AMOUNT = re.compile(
    rf"(?:about )?({_NUMBER})(?: ?(?:[-\u2013]|to|or) ?({_NUMBER}))?(?![\d/%.,]|-[a-z])"
)
# A letter and what follows it in one word, in any script; "5-spice" is a word too.
_WORD = re.compile(r"(?:\d+-(?=[^\W\d_]))?[^\W\d_][^\s!-&(-,/-@\[-`{-~®™©°•…\u2013\u2014“”]*|&")
_MARK = re.compile("[\u2122\u2120\u00ae\u00a9]")
# A number that belongs to the name, as in "7 Up", and other fixed phrases.
_FIXED = re.compile(rf"\b({'|'.join(words.PHRASES)})\b")
_ARTICLE = re.compile(r"an? ")
_PLUS = re.compile(r"^(?:plus|and|\+) (?=\d)")
_SIZE = re.compile(r"^(?:generous|heaping|heaped|large|level|medium|scant|small) ")
_SEPARATOR = re.compile(r",(?!\d)| or ")
_SALT_AND = re.compile(r"(.*\bsalt) (?:and|&) (.*\bpepper.*)")
_PART_OF = re.compile(rf"\b({'|'.join(words.PARTS_OF)}) (?:of|from) ([^,]*[^\W\d_])")
_PHRASE = re.compile(
    rf"\b(?:{'|'.join(p.replace(' ', '[ -]') for p in words.DESCRIPTOR_PHRASES)})\b"
)


class Ingredient(NamedTuple):
    """One normalised ingredient; amount and unit are None where the text has none."""

    name: str
    amount: float | None
    unit: str | None


def normalize(ingredient: str, quantity: str = "") -> list[Ingredient]:
    """Normalise one ingredient line.

    Args:
        ingredient: The line, with or without its amount and unit.
        quantity: Amount and unit, where the corpus keeps them apart.

    Returns:
        Usually one ingredient; two for "salt and pepper"; none when the text names nothing.
        A range of amounts counts as its middle.
    """
    given, text = _take_amount(_fold(quantity))
    given_unit, _ = _take_unit(text, counted=True)
    amount, unit, rest = _take_quantity(_fold(ingredient), counted=given is not None)
    if given is not None:
        # A unit in the text belongs to the given amount only if it has no amount of its own.
        amount, unit = given, given_unit or (unit if amount is None else None)
    pair = _SALT_AND.fullmatch(rest)
    names = (_name(part) for part in (pair.groups() if pair else (rest,)))
    return [Ingredient(name, amount, unit) for name in names if name]


@cache
def singular(word: str) -> str:
    """Give the singular of an English word; other words mostly stay as they are."""
    if word in words.PLURALS:
        return words.PLURALS[word]
    # The rules take "m&m's" for the plural of "m&m'", and "s" for that of nothing.
    return word if "'" in word else _pluralizer().singular(word) or word


@cache
def _pluralizer() -> "Pluralizer":
    # Its import takes 30 ms, so it waits until the first word.
    from pluralizer import Pluralizer

    return Pluralizer()  # type: ignore[no-untyped-call]  # its __init__ has no "-> None"


def _fold(text: str) -> str:
    # Before compatibility forms are taken apart, which would make the letters TM of the trade mark.
    text = _VULGAR_FRACTION.sub(r" \1 ", _MARK.sub("®", text))
    text = unicodedata.normalize("NFKD", text).casefold()
    # Only Latin letters lose their marks: in other scripts a mark makes another letter.
    text = unicodedata.normalize("NFC", _LATIN_ACCENT.sub(r"\1", text))
    text = _MEASURE_HYPHEN.sub(r"\1 ", text.translate(words.LETTERS))
    text = _FIXED.sub(lambda match: words.PHRASES[match[1]], text)
    while (bare := _BRACKETS.sub(" ", text)) != text:
        text = bare
    return " ".join(text.split())


def _take_quantity(text: str, *, counted: bool) -> tuple[float | None, str | None, str]:
    amount, rest = _take_amount(text)
    unit, rest = _take_unit(rest, counted=counted or amount is not None)
    if amount is None and (article := _ARTICLE.match(text)):
        unit, after = _take_unit(text[article.end() :], counted=True)
        amount, rest = (1.0, after) if unit else (None, text)
    if amount is not None:
        rest = _skip_second_quantity(rest, measured=unit is not None)
    # "8 cloves": the spice, not a unit of nothing.
    return (amount, unit, rest) if rest else (amount, None, _take_amount(text)[1])


def _skip_second_quantity(text: str, *, measured: bool) -> str:
    """Drop what repeats or details an amount.

    That is "plus 1 tsp", the "28 ounce can" of "1 28-ounce can", the can of "15 oz can".
    """
    amount, rest = _take_amount(_PLUS.sub("", text))
    if amount is not None or measured:
        _, after = _take_unit(rest if amount is not None else text, counted=True)
        after = _take_unit(after, counted=True)[1] if amount is not None else after
        return after or text
    return text


def _take_amount(text: str) -> tuple[float | None, str]:
    match = _AMOUNT.match(text)
    if not match:
        return None, text
    try:
        values = [_value(number) for number in match.groups() if number]
    except ZeroDivisionError:
        return None, text
    amount = sum(values) / len(values)
    rest = text[match.end() :].strip()
    return (amount if math.isfinite(amount) and amount > 0 else None), rest


def _value(number: str) -> float:
    whole, _, fraction = number.rpartition(" ")
    if "/" in fraction:
        above, below = fraction.split("/")
        return float(whole or 0) + float(above) / float(below)
    thousands = re.fullmatch(r"\d+(?:,\d{3})+", number)
    return float(number.replace(",", "" if thousands else "."))


def _take_unit(text: str, *, counted: bool) -> tuple[str | None, str]:
    sized = _SIZE.sub("", text) if counted else text
    unit, rest = _take_bare_unit(sized, counted=counted)
    return (unit, rest) if unit else (None, text)


def _take_bare_unit(text: str, *, counted: bool) -> tuple[str | None, str]:
    for size in (2, 1):
        *first, rest = [*text.split(" ", size), ""][: size + 1]
        written = [word.strip(".") for word in first]
        unit = words.UNITS.get(" ".join([*written[:-1], singular(written[-1])]))
        if unit and (counted or rest.startswith("of ") or written[0] in words.ABBREVIATIONS):
            return unit, rest.removeprefix("of ")
    return None, text


def _name(text: str) -> str:
    """The first part that still names something when its descriptors are gone."""
    text = _without_brand(text)
    text = _PART_OF.sub(lambda match: f"{_bare(match[2])} {match[1]}", text)
    text = _PHRASE.sub(" ", f" {text} ")
    for ending in words.ENDINGS:
        text = f"{text.split(ending)[0]} "
    return next((name for part in _SEPARATOR.split(text) if (name := _bare(part))), "")


def _without_brand(text: str) -> str:
    """What follows the last mark of a brand, unless that names nothing."""
    rest = text.rpartition("®")[2]
    return rest if _bare(_SEPARATOR.split(rest)[0]) else text


def _bare(text: str) -> str:
    found = [_spelling(word.rstrip("'.-")) for word in _WORD.findall(text)]
    kept = [
        word
        for word, after in zip(found, [*found[1:], ""], strict=False)
        if word not in words.DESCRIPTORS or after in words.KEPT_BEFORE.get(word, ())
    ]
    kept = _without_edges(kept)
    if kept:
        kept[-1] = _spelling(singular(kept[-1]))
    if len(kept) > 1 and kept[-2] in words.PARTS.get(kept[-1], ()):
        kept.pop()
    return " ".join(kept)


def _spelling(word: str) -> str:
    return words.SPELLINGS.get(word, word)


def _without_edges(kept: list[str]) -> list[str]:
    while kept and kept[0] in words.CONNECTIVES:
        kept = kept[1:]
    while kept and kept[-1] in words.CONNECTIVES:
        kept = kept[:-1]
    return kept
