import re
import tomllib
from pathlib import Path

import pytest
from pictures import BYTES, PICTURES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("nix/*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_paths_named_in_code_spans_exist(page):
    folders = "src|tests|nix|docs|bench|deploy"
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
    missing = [path for path in named if not (ROOT / path).exists()]
    assert missing == []


def test_the_index_lists_every_page_once():
    index = (ROOT / "docs/README.md").read_text()
    listed = re.findall(r"^\| \[([\w-]+\.md)\]\(\1\) \| \S", index, re.MULTILINE)
    pages = {page.name for page in ROOT.glob("docs/*.md")} - {"README.md"}
    assert sorted(listed) == sorted(pages)
    assert "(docs/README.md)" in (ROOT / "README.md").read_text()


def test_the_pictures_named_are_those_that_are_there_and_that_one_command_takes():
    found = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", found))
    files = {path.name: path.stat().st_size for path in (ROOT / "docs/pictures").iterdir()}
    assert {Path(one).name for one in named} == set(files) == {f"{one}.webp" for one in PICTURES}
    assert {Path(one).parent.name for one in named} == {"pictures"}
    assert max(files.values()) < BYTES
    assert "pytest tests/stack/test_pictures.py --pictures docs/pictures" in found


def test_no_picture_stands_before_the_commands_and_the_addresses():
    before = (ROOT / "README.md").read_text().partition("![")[0]
    assert before.count("```sh") == 1
    assert "127.0.0.1:5432" in before
    assert len(before.splitlines()) < 40


def test_the_changelog_begins_with_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == project["version"]


def test_the_readme_has_the_groups_and_ports_of_the_stack():
    from dagma.stack import topology
    from dagma.stack.settings import Settings

    readme = (ROOT / "README.md").read_text()
    assert all(f"| `{group}` |" in readme for group in topology.GROUPS)
    defaults = Settings()
    for port in (defaults.webserver_port, defaults.mlflow_port, defaults.qdrant_port):
        assert f"http://127.0.0.1:{port}" in readme
    assert f"127.0.0.1:{defaults.postgres_port}" in readme


def test_every_file_of_nix_that_makes_an_output_is_listed():
    listed = (ROOT / "nix/README.md").read_text()
    files = [path.name for path in (ROOT / "nix").glob("*.nix") if path.name != "default.nix"]
    assert [name for name in files if f"({name})" not in listed] == []


def test_the_commands_for_images_are_in_their_page():
    programs = re.findall(
        r"^  (image-\w+) =", (ROOT / "nix/image/out.nix").read_text(), re.MULTILINE
    )
    page = (ROOT / "docs/images.md").read_text()
    listed = re.findall(r"^\| `nix run \.#([\w-]+) ", page, re.MULTILINE)
    assert sorted(listed) == sorted(programs)
    assert programs


def test_the_page_on_backups_names_what_is_in_one():
    from dagma.stack.services import qdrant
    from dagma.stack.settings import Settings
    from dagma.stack.upkeep import archive, backup

    page = (ROOT / "docs/backup.md").read_text()
    listed = re.findall(r"^\| `([\w/]+)/", page, re.MULTILINE)
    parts = [tree.folder for tree in backup.trees(Settings())]
    assert sorted(listed) == sorted([*parts, qdrant.PART, "databases"])
    assert {part.split("/")[0] for part in listed} == set(archive.PARTS)
    assert len(page.splitlines()) < 100
