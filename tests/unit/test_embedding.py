import ast
import io
import json
import math
import os
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from dagma.defs.embedding import assets, packaging, quality
from dagma.defs.embedding.assets import ingredient_embedding_model
from dagma.defs.embedding.item2vec import Item2VecConfig, train
from dagma.kit.io.parquet import ParquetIOManager
from dagma.kit.tracking.mlflow import MlflowStubResource, MlflowTrackingResource

PAGE = (Path(__file__).parents[2] / "docs/embedding.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SWEET = ("flour", "sugar", "butter", "egg", "vanilla", "chocolate")
SAVOURY = ("onion", "garlic", "tomato", "olive oil", "basil", "pepper")


def recipes(count, seed=0, mixed=False):
    """Baskets of salt and four ingredients out of two kitchens, or out of one with favourites."""
    random = np.random.default_rng(seed)
    kitchens = [SWEET + SAVOURY] if mixed else [SWEET, SAVOURY]
    taste = 1 / np.arange(1, 13) ** 1.5 if mixed else np.ones(6)
    return [
        ["salt", *random.choice(kitchens[i % len(kitchens)], 4, False, taste / taste.sum())]
        for i in range(count)
    ]


def frame(baskets):
    rows = [("corpus", str(i), name) for i, basket in enumerate(baskets) for name in basket]
    return pd.DataFrame(rows, columns=["source", "recipe_id", "ingredient"])


class Recorder(MlflowStubResource):
    """A stub that shows what it was given."""

    def log_param(self, key, value):
        LOGGED[key] = value

    def log_metric(self, key, value, step=0):
        LOGGED.setdefault(key, []).append((step, value))

    def log_artifact(self, path):
        LOGGED[path.name] = path.read_bytes()


LOGGED = {}


@pytest.fixture
def run(tmp_path):
    @dg.asset
    def training_recipes():
        return frame(baskets)

    baskets = recipes(60)

    def run(given=None, **config):
        nonlocal baskets
        baskets = given or baskets
        LOGGED.clear()
        with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
            return dg.materialize(
                [training_recipes, ingredient_embedding_model],
                instance=instance,
                resources={
                    "mlflow": Recorder(),
                    "io_manager": dg.FilesystemIOManager(),
                    "parquet_io_manager": ParquetIOManager(),
                },
                run_config={"ops": {"ingredient_embedding_model": {"config": config}}},
                raise_on_error=False,
            )

    return run


def check(result):
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_ingredients_of_one_kitchen_are_near_each_other():
    model = train(recipes(200), Item2VecConfig())
    vectors = dict(zip(model.ingredients, model.vectors, strict=True))

    def cosine(a, b):
        a, b = vectors[a], vectors[b]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert cosine("sugar", "flour") > cosine("sugar", "garlic") + 0.3


def test_scores_say_what_goes_with_the_rest():
    model = train(recipes(200), Item2VecConfig())
    rest = [model.ingredients.index(name) for name in ("sugar", "flour", "salt")]
    best = [model.ingredients[i] for i in np.argsort(-model.scores(rest)) if i not in rest]
    assert set(best[:4]) == set(SWEET) - {"sugar", "flour"}


def test_ingredients_come_in_falling_order_of_their_recipes():
    model = train([*recipes(50), ["rare", "salt"]], Item2VecConfig(epochs=1))
    assert (model.ingredients[0], model.recipes[0]) == ("salt", 51)
    assert list(model.recipes) == sorted(model.recipes, reverse=True)
    assert "rare" not in model.ingredients
    assert "rare" in train([["rare", "salt"]], Item2VecConfig(min_recipes=1)).ingredients


def test_frequent_ingredients_are_left_out_as_often_when_it_is_told_so_twice():
    config = Item2VecConfig(epochs=5, subsample=0.01)
    once, again = (train(recipes(50), config).vectors for _ in range(2))
    assert np.array_equal(once, again)
    assert not np.allclose(once, train(recipes(50), Item2VecConfig(epochs=5)).vectors)


@pytest.mark.parametrize("negative", [3, 5])
def test_the_loss_is_that_of_a_model_that_knows_nothing_as_long_as_nothing_is_learnt(negative):
    losses = []
    config = Item2VecConfig(negative=negative, learning_rate=1e-7, epochs=3)
    # gensim looks logarithms up in a coarse table, which gives 2 % too much here.
    # Among many ingredients a negative sample, which then costs nothing, is seldom the right one.
    names = [f"i{i}" for i in range(500)]
    random = np.random.default_rng(0)
    baskets = [random.choice(names, 10, replace=False).tolist() for _ in range(400)]
    train(baskets, config, lambda epoch, loss: losses.append(loss))
    assert losses == pytest.approx([(1 + negative) * math.log(2)] * 3, rel=0.025)


def test_the_loss_falls_while_it_learns_and_every_epoch_reports():
    losses = {}
    train(recipes(60), Item2VecConfig(epochs=20), losses.__setitem__)
    assert list(losses) == list(range(1, 21))
    assert losses[20] < losses[10] < losses[1]


DIGEST = """
import hashlib, json, sys
from dagma.defs.embedding.item2vec import Item2VecConfig, train
model = train(json.loads(sys.argv[1]), Item2VecConfig(epochs=5, seed=int(sys.argv[2])))
print(hashlib.sha256(model.vectors.tobytes() + model.contexts.tobytes()).hexdigest())
"""


def digest(hash_seed, seed):
    """Of the vectors that another process learns, in several calls into gensim's C code."""
    done = subprocess.run(
        [sys.executable, "-c", DIGEST, json.dumps(recipes(1000)), str(seed)],
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_same_seed_gives_the_same_vectors_in_every_process():
    assert digest(hash_seed=1, seed=1) == digest(hash_seed=2, seed=1) != digest(1, seed=2)


def test_what_is_held_out_is_not_trained_on(monkeypatch):
    baskets = [[f"only{i}", *basket] for i, basket in enumerate(recipes(40))]
    trained = []

    def spy(given, config):
        trained.append({basket[0] for basket in given})
        return train(given, config)

    monkeypatch.setattr(quality, "train", spy)
    found = quality.cross_validate(baskets, Item2VecConfig(epochs=1))
    assert [len(names) for names in trained] == [32] * 5
    everything = {basket[0] for basket in baskets}
    # Each recipe is held out once; its own ingredient has no vector then, so five are ranked.
    assert sorted(n for names in trained for n in everything - names) == sorted(everything)
    assert (found.recipes, found.held_out) == (40, 200)


def test_where_there_are_kitchens_the_embedding_beats_popularity():
    found = quality.cross_validate(recipes(200), Item2VecConfig())
    assert found.lift > 5 * found.standard_error


def test_where_there_are_none_it_does_not():
    found = quality.cross_validate(recipes(200, mixed=True), Item2VecConfig())
    assert found.lift < found.standard_error


def test_large_corpora_stop_after_enough(monkeypatch):
    monkeypatch.setattr(quality, "ENOUGH", 50)
    assert quality.cross_validate(recipes(60), Item2VecConfig(epochs=1)).held_out == 60


def test_equals_share_the_middle_of_their_ranks():
    scores = np.array([3, 2, 2, 1, 9])
    candidates = np.array([True, True, True, True, False])
    assert [quality._rank(scores, i, candidates) for i in range(4)] == [1, 2.5, 2.5, 4]


def test_the_table_has_the_columns_that_it_promises(run):
    table = run(epochs=2, dimensions=8).output_for_node("ingredient_embedding_model")
    assert list(table.columns) == list(assets.COLUMNS)
    assert table["ingredient"][0] == "salt"
    assert {len(v) for v in table["vector"]} == {len(v) for v in table["context"]} == {8}


def test_parameters_loss_and_artifact_are_logged(run):
    table = run(epochs=3).output_for_node("ingredient_embedding_model")
    assert (LOGGED["epochs"], LOGGED["seed"], LOGGED["recipes"]) == (3, 1, 60)
    assert LOGGED["vocabulary_size"] == len(table) == 13
    assert [step for step, _ in LOGGED["loss"]] == [1, 2, 3]
    artifact = pd.read_parquet(io.BytesIO(LOGGED["ingredient_vectors.parquet"]))
    assert artifact["ingredient"].tolist() == table["ingredient"].tolist()
    assert np.array_equal(np.stack(artifact["vector"]), np.stack(table["vector"]))
    assert artifact["vector"][0].dtype == np.float32


def test_the_check_passes_on_kitchens_and_warns_only_on_few_recipes(run):
    few = check(run())
    assert (few.passed, few.severity) == (True, dg.AssetCheckSeverity.WARN)
    many = check(run(recipes(1200, mixed=True), epochs=5))
    assert (many.passed, many.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert many.metadata["held_out"].value == 1200


def test_two_recipes_are_too_few_to_say_anything(run):
    result = run([["salt", "oil"], ["salt", "oil"]], epochs=1)
    assert result.success
    assert not check(result).passed
    assert check(result).metadata["held_out"].value == 0


def test_a_corpus_without_repetition_fails_with_a_sentence(run):
    result = run([["a", "b"], ["c", "d"]])
    (event,) = [event for event in result.all_events if event.is_step_failure]
    said = event.step_failure_data.user_failure_data.description
    assert said.startswith("No ingredient is in 2 recipes or more: take a larger corpus")


def test_the_plot_is_a_small_png(run):
    (event,) = run(epochs=1).asset_materializations_for_node("ingredient_embedding_model")
    (data,) = re.findall(r"base64,(.*)\)", event.metadata["plot"].value)
    assert b64decode(data)[:4] == b"\x89PNG"
    assert len(data) < 150_000


def test_the_page_lists_the_columns_and_the_parameters():
    listed = re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)
    assert listed == [*assets.COLUMNS, *Item2VecConfig.model_fields]
    defaults = re.findall(r"^\| `\w+` \| ([\d.]+) \|", PAGE, re.MULTILINE)
    assert defaults == [str(f.default) for f in Item2VecConfig.model_fields.values()]


def test_the_example_of_the_page_ranks_what_goes_with_the_rest(tmp_path, monkeypatch, run, capsys):
    run(recipes(200))
    monkeypatch.chdir(tmp_path)
    Path("ingredient_vectors.parquet").write_bytes(LOGGED["ingredient_vectors.parquet"])
    example = EXAMPLES[1]
    exec(example.replace('["tomato", "garlic"]', '["sugar", "flour"]'), {})
    assert set(SWEET) - {"sugar", "flour"} <= set(re.findall(r"\w+", capsys.readouterr().out))


@pytest.mark.filterwarnings("default")  # what MLflow's own store warns of is not ours to mend
def test_the_model_is_served_by_its_own_files_alone_and_the_alias_waits_for_the_check(
    tmp_path, monkeypatch
):
    import mlflow

    @dg.asset
    def training_recipes():
        return frame(baskets)

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(uri)

    def trained():
        with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
            return dg.materialize(
                [training_recipes, ingredient_embedding_model],
                instance=instance,
                resources={
                    "mlflow": MlflowTrackingResource(tracking_uri=uri),
                    "io_manager": dg.FilesystemIOManager(),
                    "parquet_io_manager": ParquetIOManager(),
                },
                run_config={"ops": {"ingredient_embedding_model": {"config": {"epochs": 10}}}},
            )

    baskets = recipes(60)
    assert check(trained()).passed
    champion = client.get_model_version_by_alias(packaging.MODEL, packaging.ALIAS)
    monkeypatch.setattr(assets, "cross_validate", lambda *_: None)
    assert not check(trained()).passed
    again = client.get_model_version_by_alias(packaging.MODEL, packaging.ALIAS)
    assert (int(champion.version), int(again.version)) == (1, 1)
    versions = client.search_model_versions(f"name = '{packaging.MODEL}'")
    assert {int(one.version) for one in versions} == {1, 2}

    code = EXAMPLES[0] + (
        "print(model.predict(pd.DataFrame({'ingredients': [['unheard of']]}))['goes_with'][0])\n"
        "import sys\nassert 'dagma' not in sys.modules\n"
        "assert model.metadata.saved_input_example_info and model.metadata.signature\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=os.environ | {"MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tomato_and_garlic, unheard = map(ast.literal_eval, done.stdout.strip().splitlines()[-2:])
    assert set(SAVOURY) - {"tomato", "garlic"} <= set(tomato_and_garlic[:5])
    assert unheard == []
    client._tracking_client.store.engine.dispose()
