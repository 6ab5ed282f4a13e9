import re
from pathlib import Path

import pytest

from dagma.defs.recipes.corpus import read_corpus
from dagma.defs.recipes.normalize import Ingredient, normalize
from dagma.defs.recipes.tidy import NORMALIZED_COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "code-location.md").read_text()


@pytest.mark.parametrize("form", ["json", "csv"])
def test_the_example_corpus_of_the_page_loads(form, tmp_path):
    (example,) = re.findall(rf"```{form}\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / f"corpus.{form}"
    path.write_text(example)
    (recipe,) = read_corpus(path).recipes
    assert (recipe.id, recipe.cuisine, len(recipe.lines)) == ("1", "greek", 3)


def test_the_example_ingredient_of_the_page_is_right():
    (text,) = re.findall(r'^"(.*)" becomes 2\.5, `cup`, `tomato`', PAGE, re.MULTILINE)
    assert normalize(text) == [Ingredient("tomato", 2.5, "cup")]


def test_the_page_lists_the_columns():
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert listed == [(name, kind) for name, (kind, _) in NORMALIZED_COLUMNS.items()]
