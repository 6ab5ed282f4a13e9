import json

import pytest
from click.testing import CliRunner

from dagma.cli import main
from dagma.stack import settings
from dagma.stack.upkeep import sizes


@pytest.fixture
def home(tmp_path):
    """A state in which each part is of another size."""
    whole = tmp_path / "h"
    for number, path in enumerate(
        (
            "logs/daemon.log",
            "qdrant/storage/a",
            "qdrant/embedded/b",
            "mlflow/artifacts/1/model",
            "dagster/storage/whole",
            "postgres/data/base/1",
            "run/x",  # of no part
        )
    ):
        (whole / path).parent.mkdir(parents=True, exist_ok=True)
        (whole / path).write_bytes(b"0" * 10**number)
    return whole


def measure(home, **names):
    return sizes.measure(
        settings.load({"DAGMA_HOME": str(home), **names}).settings, databases=False
    )


def test_each_part_is_added_up_once(home):
    found = measure(home)
    assert found.complete
    assert found.parts == {
        "logs": 1,
        "vectors": 110,
        "mlflow": 1_000,
        "dagster": 10_000,
        "cluster": 100_000,
    }


def test_what_was_moved_elsewhere_is_found_there(home, tmp_path):
    (tmp_path / "q").mkdir()
    (tmp_path / "q/b").write_bytes(b"0" * 7)
    assert measure(home, QDRANT_PATH=str(tmp_path / "q")).parts["vectors"] == 117
    assert measure(home, DAGSTER_HOME=str(tmp_path / "q")).parts["dagster"] == 7


def test_what_a_file_only_reserves_does_not_count(home):
    """Qdrant's server makes files of 32 MiB, and fills them from their beginning."""
    with (home / "qdrant/storage/page").open("wb") as file:
        file.write(b"0" * 1_000)
        file.truncate(2**25)
    if (home / "qdrant/storage/page").stat().st_blocks * 512 >= 2**25:
        pytest.skip("this file system has no sparse files")
    assert 1_110 <= measure(home).parts["vectors"] < 1_000_000


def test_links_are_not_followed(home, tmp_path):
    (tmp_path / "large").write_bytes(b"0" * 5_000)
    before = measure(home).parts["dagster"]
    (home / "dagster/to a file").symlink_to(tmp_path / "large")
    (home / "dagster/around").symlink_to(home)
    assert measure(home).parts["dagster"] < before + 1_000


def test_too_many_files_are_cut_short_and_this_is_said(home, monkeypatch):
    monkeypatch.setattr(sizes, "PATIENCE", -1.0)
    found = measure(home)
    assert not found.complete
    assert str(found).startswith("state more than ")


def test_the_line_has_every_part():
    databases = {"database_dagster": 1_240_000_000, "database_mlflow": 0}
    parts = databases | dict.fromkeys(sizes.LABELS, 0) | {"logs": 260_000_000}
    line = str(sizes.Sizes(parts, complete=True))
    assert line.startswith("state 1.5 GB: database dagster 1.2 GB, mlflow 0 bytes, ")
    assert line.endswith(", logs of services 260.0 MB")


def test_status_shows_the_sizes_while_nothing_runs(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGMA_HOME", str(home))
    shown = CliRunner().invoke(main, ["status"]).output
    assert (
        "databases (PostgreSQL does not answer) 100.0 kB, files of assets" in shown.splitlines()[-1]
    )
    found = json.loads(CliRunner().invoke(main, ["status", "--json"]).output)
    assert found["sizes"]["parts"]["cluster"] == 100_000
    assert found["sizes"]["complete"] is True
