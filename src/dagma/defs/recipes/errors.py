"""What can be wrong with a corpus as a whole.

RecipesError
├── SourceError      RECIPES_SOURCE is unset, or names nothing that can be read
├── MalformedCorpus  the file breaks its own format, at a line
└── EmptyCorpus      the file is well formed and holds no usable recipe
"""

from pathlib import Path


class RecipesError(Exception):
    """A corpus cannot be used; the message is one sentence for the user."""


class SourceError(RecipesError):
    """The setting names no corpus."""


class MalformedCorpus(RecipesError):
    """The file breaks its own format."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        super().__init__(f"{path}, line {line}: {why}")
        self.line = line


class EmptyCorpus(RecipesError):
    """There is no usable recipe in the file."""
