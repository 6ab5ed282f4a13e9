import os
import signal

import pytest
from platform_client import NUMBERS, wait_for


def test_graphql_lists_runs(stack):
    answer = stack.graphql("query { runsOrError { __typename ... on Runs { results { runId } } } }")
    assert answer["runsOrError"]["__typename"] == "Runs"


def test_the_first_requests_after_a_restart_of_postgresql_are_answered(stack):
    query = "query { runsOrError { __typename } assetNodes { assetMaterializations(limit: 1) { runId } } }"
    stack.graphql(query)  # opens connections, which the restart cuts
    before = stack.wait_healthy("postgres", 30)
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: stack.status()["postgres"]["restarts"] > before["restarts"], 30, "a restart")
    stack.wait_healthy("postgres", 30)
    assert stack.graphql(query)["runsOrError"]["__typename"] == "Runs"


def test_assets_are_materialized_through_the_queue_and_land_in_postgresql(stack):
    run_id = stack.launch_numbers()
    stack.wait_for_success(run_id)
    assert stack.rows("SELECT status FROM runs WHERE run_id = %s", run_id) == [("SUCCESS",)]
    kinds = {
        kind
        for (kind,) in stack.rows(
            "SELECT dagster_event_type FROM event_logs WHERE run_id = %s", run_id
        )
    }
    assert {"PIPELINE_ENQUEUED", "PIPELINE_START", "PIPELINE_SUCCESS"} <= kinds
    materialized = stack.rows(
        "SELECT asset_key FROM event_logs"
        " WHERE run_id = %s AND dagster_event_type = 'ASSET_MATERIALIZATION'",
        run_id,
    )
    assert sorted(key for (key,) in materialized) == [f'["{name}"]' for name in NUMBERS]


@pytest.mark.skipif("RECIPES_SOURCE" not in os.environ, reason="RECIPES_SOURCE names no corpus")
def test_the_recipes_job_turns_the_real_corpus_into_a_tidy_table(stack):
    run_id = stack.launch_recipes()
    stack.wait_for_success(run_id)
    assert stack.check_results(run_id) == [True] * 6


def test_assets_leave_files_below_the_storage_directory(stack):
    stack.wait_for_success(stack.launch_numbers())
    files = {path.name.split(".")[0] for path in (stack.home / "dagster/storage").rglob("*")}
    assert set(NUMBERS) <= files
