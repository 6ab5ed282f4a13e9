import re

from platform_client import wait_for

PASSED = re.compile('"(?:success|passed)": true')


def rows(stack, query):
    return stack.rows(query, database="analytics")


def events(stack, run_id, kind):
    return stack.rows(
        "SELECT asset_key, event FROM event_logs WHERE run_id = %s AND dagster_event_type = %s",
        run_id,
        kind,
    )


def test_the_models_hold_every_recipe(stack, whole_run):
    counted = rows(stack, "SELECT sum(recipes) FROM dbt.recipes_per_cuisine")
    assert counted == rows(stack, "SELECT count(DISTINCT recipe_id) FROM recipe_ingredients")
    assert counted[0][0] > 50


def test_one_model_alone_is_built_and_its_failed_test_fails_the_check(stack, whole_run):
    with stack.database("analytics", "analytics") as cursor:
        cursor.connection.autocommit = True
        cursor.execute("INSERT INTO recipe_ingredients (recipe_id) VALUES ('nothing')")
        try:
            run_id = stack.launch_assets(["ingredient_counts"])
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
