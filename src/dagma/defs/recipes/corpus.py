"""A corpus in memory, and how its three forms are told apart."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dagma.defs.recipes import gnome, tables
from dagma.defs.recipes.errors import EmptyCorpus, MalformedCorpus, SourceError
from dagma.defs.recipes.recipe import Recipe, Skipped

type Reader = Callable[[Path, str], Iterator[Recipe | Skipped]]


@dataclass(frozen=True)
class Corpus:
    """What was read: at least one recipe, ids unique, in the order of the file."""

    path: Path
    recipes: list[Recipe] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def skipped_share(self) -> float:
        """The share of the file's recipes that was skipped, from 0 to 1."""
        return len(self.skipped) / (len(self.recipes) + len(self.skipped))


def read_corpus(source: Path) -> Corpus:
    """Read the corpus that a path names.

    Args:
        source: A `.db`, `.json` or `.csv` file, or a directory that holds `recipes.db`.

    Returns:
        The usable recipes, and the others with their reasons.

    Raises:
        SourceError: The path names nothing readable, or a form that is not known.
        MalformedCorpus: The file breaks its format; the message names file and line.
        EmptyCorpus: No recipe of the file can be used.
    """
    path = _file_of(source)
    reader = _reader_of(path)
    corpus = _collect(path, reader(path, _text_of(path)))
    if not corpus.recipes:
        raise EmptyCorpus(_why_empty(corpus))
    return corpus


def _file_of(source: Path) -> Path:
    path = source / "recipes.db" if source.is_dir() else source
    if path.is_file():
        return path
    if source.is_dir():
        raise SourceError(f"{source} holds no recipes.db; set RECIPES_SOURCE to a corpus file.")
    raise SourceError(f"{source} does not exist; set RECIPES_SOURCE to a corpus file.")


def _reader_of(path: Path) -> Reader:
    readers: dict[str, Reader] = {
        ".db": gnome.read,
        ".json": tables.read_json,
        ".csv": tables.read_csv,
    }
    try:
        return readers[path.suffix.lower()]
    except KeyError:
        known = ", ".join(readers)
        raise SourceError(f"{path} is of no known form: its name must end in {known}.") from None


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MalformedCorpus(path, line, "this is not UTF-8 text.") from error


def _collect(path: Path, items: Iterable[Recipe | Skipped]) -> Corpus:
    corpus = Corpus(path)
    first_line: dict[str, int] = {}
    for item in items:
        if isinstance(item, Skipped):
            corpus.skipped.append(item)
        elif item.id in first_line:
            reason = f"id {item.id} was already used on line {first_line[item.id]}"
            corpus.skipped.append(Skipped(item.line, reason))
        else:
            first_line[item.id] = item.line
            corpus.recipes.append(item)
    return corpus


def _why_empty(corpus: Corpus) -> str:
    if not corpus.skipped:
        return f"{corpus.path} holds no recipe."
    line, reason = corpus.skipped[0]
    return (
        f"{corpus.path} holds no usable recipe: all {len(corpus.skipped)} were skipped, "
        f"the first on line {line} because {reason}."
    )
