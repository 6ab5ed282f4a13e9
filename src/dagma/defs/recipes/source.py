"""Where the corpus comes from: the setting RECIPES_SOURCE."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from dagma.defs.recipes.corpus import Corpus, read_corpus
from dagma.defs.recipes.errors import SourceError


class RecipesSource(dg.ConfigurableResource["RecipesSource"]):
    """The corpus of recipes, as a file or as the directory of the GNOME Recipes database."""

    path: str = Field(
        default="",
        description="A recipes.db, .json or .csv file, or a directory that holds recipes.db.",
    )
    max_skipped_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="The share of skipped rows above which the skipped_share checks fail.",
    )

    def read(self) -> Corpus:
        """Read the corpus.

        Raises:
            RecipesError: The corpus is missing, malformed or empty; the message says which.
        """
        if not self.path.strip():
            raise SourceError(
                "RECIPES_SOURCE is not set: set it to a recipes.db, .json or .csv file, "
                "or to a directory that holds recipes.db."
            )
        return read_corpus(Path(self.path).expanduser())
