import os
import re

import pytest
from live_stack import wait_for

pytestmark = pytest.mark.skipif(
    not {"RECIPES_SOURCE", "DBT_MANIFEST"} <= os.environ.keys(),
    reason="RECIPES_SOURCE or DBT_MANIFEST is unset: run in `nix develop`",
)
CHAIN = (
    "raw_recipes",
    "normalized_recipes",
    "recipe_ingredients",
    "recipes_per_cuisine",
    "ingredient_counts",
)
PASSED = re.compile('"(?:success|passed)": true')
ASSETS = """
query { assetNodes { assetKey { path } jobNames repository { name } } }
"""


def selector(stack, assets):
    nodes = {n["assetKey"]["path"][-1]: n for n in stack.graphql(ASSETS)["assetNodes"]}
    node = nodes["raw_recipes"]
    return {
        "repositoryLocationName": "dagma",
        "repositoryName": node["repository"]["name"],
        "jobName": next(name for name in node["jobNames"] if name.startswith("__ASSET_JOB")),
        "assetSelection": [{"path": [name]} for name in assets],
    }


def rows(stack, query):
    return stack.rows(query, database="analytics")


def events(stack, run_id, kind):
    return stack.rows(
        "SELECT asset_key, event FROM event_logs WHERE run_id = %s AND dagster_event_type = %s",
        run_id,
        kind,
    )


@pytest.fixture(scope="module")
def whole_run(stack):
    run_id = stack.launch(selector(stack, CHAIN))
    stack.wait_for_success(run_id)
    return run_id


def test_one_run_goes_from_the_corpus_to_the_models_and_every_check_passes(stack, whole_run):
    made = events(stack, whole_run, "ASSET_MATERIALIZATION")
    assert sorted(key for key, _ in made) == sorted(f'["{name}"]' for name in CHAIN)
    checks = [event for _, event in events(stack, whole_run, "ASSET_CHECK_EVALUATION")]
    assert len(checks) == 6 + 7
    assert all(PASSED.search(event) for event in checks)


def test_the_models_hold_every_recipe(stack, whole_run):
    counted = rows(stack, "SELECT sum(recipes) FROM dbt.recipes_per_cuisine")
    assert counted == rows(stack, "SELECT count(DISTINCT recipe_id) FROM recipe_ingredients")
    assert counted[0][0] > 50


def test_one_model_alone_is_built_and_its_failed_test_fails_the_check(stack, whole_run):
    with stack.database("analytics", "analytics") as cursor:
        cursor.connection.autocommit = True
        cursor.execute("INSERT INTO recipe_ingredients (recipe_id) VALUES ('nothing')")
        try:
            run_id = stack.launch(selector(stack, ["ingredient_counts"]))
            wait_for(lambda: stack.run_status(run_id) == "FAILURE", 180, f"failure of {run_id}")
        finally:
            cursor.execute("DELETE FROM recipe_ingredients WHERE recipe_id = 'nothing'")
    made = events(stack, run_id, "ASSET_MATERIALIZATION")
    assert [key for key, _ in made] == ['["ingredient_counts"]']
    results = [event for _, event in events(stack, run_id, "ASSET_CHECK_EVALUATION")]
    failed = [event for event in results if not PASSED.search(event)]
    assert len(results) == 3
    assert len(failed) == 1
    assert "not_null_ingredient_counts_ingredient" in failed[0]


def test_no_table_of_the_models_is_in_dagsters_database(stack, whole_run):
    assert stack.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'dbt'") == []
    assert stack.rows("SELECT to_regclass('recipe_ingredients')") == [(None,)]
