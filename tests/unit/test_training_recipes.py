import hashlib
import json

import dagster as dg
import pandas as pd
import pytest

from dagma.definitions import defs
from dagma.defs.embedding.recipes import COLUMNS, together
from dagma.defs.ingestion.assets import sources
from dagma.defs.ingestion.inbox import Key
from dagma.defs.recipes import tidy


def table(**recipes):
    """A table with the columns of normalized_recipes: recipe -> its ingredients."""
    rows = [(id_, None, i, name, 1.0, "g", name) for id_, names in recipes.items()
            for i, name in enumerate(names, 1)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(tidy.NORMALIZED_COLUMNS))
    return frame.astype({name: kind for name, (kind, _) in tidy.NORMALIZED_COLUMNS.items()})


def recipes(frame):
    return frame.groupby(["source", "recipe_id"], sort=False)["ingredient"].agg(list).to_dict()


def test_recipes_of_one_id_in_two_sources_are_two_recipes():
    frame, repeated = together(table(a=["salt", "egg"]), {"greek-1": table(a=["feta"])})
    assert recipes(frame) == {("corpus", "a"): ["salt", "egg"], ("greek-1", "a"): ["feta"]}
    assert repeated == 0


def test_a_recipe_that_comes_again_counts_once():
    again = table(a=["egg", "salt"], b=["feta"])
    frame, repeated = together(table(a=["salt", "egg"]), {"x": again, "y": again})
    assert recipes(frame) == {("corpus", "a"): ["salt", "egg"], ("x", "b"): ["feta"]}
    assert repeated == 3


@pytest.mark.parametrize("files", [{}, {"x": table(a=["egg"])}])
def test_the_columns_have_the_types_that_are_promised(files):
    frame, _ = together(table(b=["salt"]), files)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        name: kind for name, (kind, _) in COLUMNS.items()
    }


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "i").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "i")) as instance:
        yield instance


def trained_on(instance, corpus, monkeypatch):
    """The sources of training_recipes, and what its materialization says."""
    monkeypatch.setenv("RECIPES_SOURCE", str(corpus))
    job = defs().resolve_implicit_global_asset_job_def()
    names = ("raw_recipes", "normalized_recipes", "training_recipes")
    result = job.execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey(name) for name in names]
    )
    frame = pd.read_parquet(f"{instance.storage_directory()}/training_recipes.parquet")
    [made] = result.asset_materializations_for_node("training_recipes")
    return set(frame["source"]), {name: value.value for name, value in made.metadata.items()}


def test_what_is_dropped_into_the_inbox_is_learnt_from(instance, tmp_path, monkeypatch):
    corpus = tmp_path / "corpus.json"
    corpus.write_text(json.dumps([{"id": 1, "ingredients": ["2 eggs", "salt"]}]))
    assert trained_on(instance, corpus, monkeypatch)[0] == {"corpus"}
    inbox = tmp_path / "inbox"
    (inbox / "archive").mkdir(parents=True)
    monkeypatch.setenv("DAGMA_INBOX", str(inbox))
    content = json.dumps([{"id": 1, "ingredients": ["feta", "tomatoes"]}]).encode()
    (tmp_path / "greek.json").write_bytes(content)
    key = str(Key.make("greek.json", hashlib.sha256(content).hexdigest()[:16]))
    (tmp_path / "greek.json").rename(inbox / "archive" / f"{key}.json")
    instance.add_dynamic_partitions(str(sources.name), [key])
    assert trained_on(instance, corpus, monkeypatch)[0] == {"corpus"}  # its run is not over
    ingest = defs().resolve_job_def("ingest_source")
    assert ingest.execute_in_process(partition_key=key, instance=instance).success
    for more in ([], ["thai-20260101T000000Z-" + "0" * 16]):  # the only file, and one of two
        instance.add_dynamic_partitions(str(sources.name), more)
        found, metadata = trained_on(instance, corpus, monkeypatch)
        assert found == {"corpus", key}
        assert (metadata["recipes"], metadata["files"], metadata["repeated"]) == (2, 1, 0)
