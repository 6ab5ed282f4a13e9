import json
import os

import dagster as dg
import pandas as pd
import pytest

from dagma.definitions import defs
from dagma.defs.recipes import checks
from dagma.defs.recipes.assets import normalized_recipes, raw_recipes
from dagma.defs.recipes.source import RecipesSource
from dagma.kit.io.parquet import ParquetIOManager

CORPUS = [
    {"id": 1, "cuisine": "greek", "ingredients": ["2 cups chopped tomatoes", "salt | and pepper"]},
    {"id": 2, "ingredients": ["Tomato", "½ tsp salt", "1 kg tomatoes", "(optional)"]},
]
CHECKS = [
    checks.no_empty_names,
    checks.no_repeated_ingredients,
    checks.amounts_are_positive,
    checks.every_recipe_kept,
]


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def run(instance, tmp_path):
    def run(corpus=CORPUS, **settings):
        path = tmp_path / "corpus.json"
        path.write_text(corpus if isinstance(corpus, str) else json.dumps(corpus))
        return materialize(instance, RecipesSource(path=str(path), **settings))

    return run


def materialize(instance, source):
    return dg.materialize(
        [raw_recipes, normalized_recipes, *CHECKS],
        instance=instance,
        resources={"parquet_io_manager": ParquetIOManager(), "recipes_source": source},
        raise_on_error=False,
    )


def metadata(result, asset):
    (event,) = result.asset_materializations_for_node(asset)
    return {key: value.value for key, value in event.metadata.items()}


def check_results(result):
    found = result.get_asset_check_evaluations()
    return {
        f"{check.asset_key.to_user_string()}:{check.check_name}": check.passed for check in found
    }


def failure(result):
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data.description


def test_raw_recipes_has_a_row_per_line(run):
    frame = run().output_for_node("raw_recipes")
    assert list(frame.columns) == ["recipe_id", "cuisine", "position", "quantity", "text"]
    assert frame["position"].tolist() == [1, 2, 1, 2, 3, 4]
    assert frame["cuisine"].isna().tolist() == [False, False, True, True, True, True]


def test_normalized_recipes_has_a_row_per_recipe_and_ingredient(run):
    frame = run().output_for_node("normalized_recipes")
    columns = ["recipe_id", "cuisine", "position", "ingredient", "amount", "unit", "text"]
    assert list(frame.columns) == columns
    rows = frame[["recipe_id", "ingredient", "amount", "unit"]].astype(object)
    assert rows.where(rows.notna(), None).to_numpy().tolist() == [
        ["1", "tomato", 2.0, "cup"],
        ["1", "salt and pepper", None, None],
        ["2", "tomato", None, None],
        ["2", "salt", 0.5, "tsp"],
    ]


def test_the_first_mention_of_a_repeated_ingredient_stays(run):
    assert metadata(run(), "normalized_recipes")["repeated"] == 1


def test_the_same_corpus_gives_the_same_table(run):
    first, second = (run().output_for_node("normalized_recipes") for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_the_counts_are_metadata(run):
    result = run()
    raw, normalized = (metadata(result, name) for name in ("raw_recipes", "normalized_recipes"))
    assert (raw["dagster/row_count"], raw["recipes"], raw["skipped"]) == (6, 2, 0)
    assert (normalized["dagster/row_count"], normalized["ingredients"]) == (4, 3)


def test_the_preview_is_a_markdown_table(run):
    preview = metadata(run(), "raw_recipes")["preview"].splitlines()
    assert preview[:2] == [
        "| recipe_id | cuisine | position | quantity | text |",
        "| --- | --- | --- | --- | --- |",
    ]
    assert preview[3] == r"| 1 | greek | 2 |  | salt \| and pepper |"
    assert preview[4] == "| 2 |  | 1 |  | Tomato |"


def test_skipped_rows_are_metadata_with_line_and_reason(run):
    raw = metadata(run([*CORPUS, {"id": 3}]), "raw_recipes")
    assert raw["skipped"] == 1
    assert raw["skipped_first"].splitlines()[-1] == "| 1 | its ingredients are not a list |"


def test_skipped_lines_are_metadata_with_recipe_and_text(run):
    normalized = metadata(run(), "normalized_recipes")
    assert normalized["skipped"] == 1
    assert "| 2 | (optional) |" in normalized["skipped_first"]


def test_every_check_passes_on_a_good_corpus(run):
    result = run(max_skipped_share=0.2)
    assert result.success
    assert set(check_results(result).values()) == {True}
    assert len(check_results(result)) == 6


def test_too_many_skipped_rows_fail_the_check_and_not_the_run(run):
    result = run([*CORPUS, {"id": 3}])
    assert result.success
    assert not check_results(result)["raw_recipes:skipped_share"]


def test_too_many_skipped_lines_fail_the_check_and_not_the_run(run):
    result = run()
    assert result.success
    assert not check_results(result)["normalized_recipes:skipped_share"]


def test_a_recipe_without_any_name_fails_the_check(run):
    result = run([*CORPUS, {"id": 3, "ingredients": ["(optional)"]}])
    assert not check_results(result)["normalized_recipes:every_recipe_kept"]


@pytest.mark.parametrize(
    ("check", "row"),
    [
        (checks.no_empty_names, {"ingredient": " "}),
        (checks.no_empty_names, {"ingredient": None}),
        (checks.no_repeated_ingredients, {"ingredient": "salt"}),
        (checks.amounts_are_positive, {"amount": 0.0}),
        (checks.amounts_are_positive, {"amount": -1.0}),
        (checks.amounts_are_positive, {"amount": float("inf")}),
    ],
)
def test_a_check_fails_on_what_it_looks_for(check, row):
    good = {"recipe_id": "1", "ingredient": "salt", "amount": 1.0}
    bad = {"recipe_id": "1", "ingredient": "oil", "amount": 1.0} | row
    assert check(normalized_recipes=pd.DataFrame([good])).passed
    assert not check(normalized_recipes=pd.DataFrame([good, bad])).passed


def test_a_malformed_corpus_fails_with_file_and_line(run):
    assert "corpus.json, line 2: this is not JSON" in failure(run("[\n{]"))


def test_an_empty_corpus_fails(run):
    assert failure(run([])).endswith("corpus.json holds no recipe.")


def test_an_unset_source_says_what_to_set(instance):
    assert failure(materialize(instance, RecipesSource())).startswith("RECIPES_SOURCE is not set:")


def test_a_failure_is_not_retried():
    with pytest.raises(dg.Failure) as caught:
        list(raw_recipes(recipes_source=RecipesSource()))
    assert caught.value.allow_retries is False


def test_the_job_reads_the_source_from_the_environment(instance, tmp_path, monkeypatch):
    path = tmp_path / "corpus.json"
    path.write_text(json.dumps(CORPUS))
    monkeypatch.setenv("RECIPES_SOURCE", str(path))
    result = defs().resolve_job_def("recipes").execute_in_process(instance=instance)
    assert len(result.output_for_node("raw_recipes")) == 6


def test_without_a_source_only_the_recipes_fail(instance, monkeypatch):
    monkeypatch.delenv("RECIPES_SOURCE", raising=False)
    job = defs().resolve_implicit_global_asset_job_def()
    names = ("raw_numbers", "sum_numbers", "raw_recipes", "normalized_recipes")
    result = job.execute_in_process(
        instance=instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey(name) for name in names],
    )
    assert failure(result).startswith("RECIPES_SOURCE is not set:")
    assert result.output_for_node("sum_numbers") == 55


@pytest.mark.skipif(
    not os.environ.get("RECIPES_SOURCE"),
    reason="RECIPES_SOURCE names no corpus; set it to the GNOME Recipes database",
)
def test_the_corpus_of_the_environment_passes_every_check(instance):
    result = materialize(instance, RecipesSource(path=os.environ["RECIPES_SOURCE"]))
    assert result.success
    assert check_results(result) == dict.fromkeys(check_results(result), True)
    assert metadata(result, "normalized_recipes")["ingredients"] >= 100
