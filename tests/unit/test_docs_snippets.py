import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFS = ROOT / "src/dagma/defs"
#: Page -> the folder whose files its snippets are.
PAGES = {"io": "dbt", "dbt": "dbt", "pipelines": "pipelines", "graphs": "graphs"}
PAGES |= {"ingestion": "ingestion", "schedules": "schedules"}
SCREENS = 2 * 50


def snippets(page):
    text = (ROOT / f"docs/{page}.md").read_text()
    return re.findall(r"```(?:python|yaml)\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of_a_page_are_lines_of_tested_files(page):
    files = [
        path for path in (DEFS / PAGES[page]).rglob("*") if path.suffix in (".py", ".yaml", ".yml")
    ]
    texts = [path.read_text() for path in files]
    missing = [one for one in snippets(page) if not any(one in text for text in texts)]
    assert snippets(page)
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_under_two_screens(page):
    assert len((ROOT / f"docs/{page}.md").read_text().splitlines()) < SCREENS


def test_the_page_on_pipelines_lists_the_keys():
    from dagma.kit.pipeline import PipelineModel, Step

    text = (ROOT / "docs/pipelines.md").read_text()
    keys = [*PipelineModel.model_fields, *Step.model_fields]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == keys
