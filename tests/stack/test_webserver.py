import os

import pytest
from live_stack import wait_for

NUMBERS = ("raw_numbers", "sum_numbers", "viz_ready_data")

LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
} }
"""
RUN = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }
"""


def launch_numbers(stack) -> str:
    """Materialize the number assets through the queue; the run's id."""
    nodes = stack.graphql(
        "query { assetNodes { assetKey { path } jobNames repository { name } } }"
    )["assetNodes"]
    node = next(n for n in nodes if n["assetKey"]["path"] == ["raw_numbers"])
    selector = {
        "repositoryLocationName": "dagma",
        "repositoryName": node["repository"]["name"],
        "jobName": next(name for name in node["jobNames"] if name.startswith("__ASSET_JOB")),
        "assetSelection": [{"path": [name]} for name in NUMBERS],
    }
    return launch(stack, selector)


def launch(stack, selector) -> str:
    """Queue a run through GraphQL; the run's id."""
    params = {"selector": selector, "runConfigData": {}, "mode": "default"}
    answer = stack.graphql(LAUNCH, params=params)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return answer["run"]["runId"]


def run_status(stack, run_id) -> str:
    return stack.graphql(RUN, id=run_id)["runOrError"]["status"]


def wait_for_success(stack, run_id, seconds=180) -> None:
    def finished() -> bool:
        status = run_status(stack, run_id)
        assert status not in ("FAILURE", "CANCELED"), f"{run_id} ended in {status}"
        return status == "SUCCESS"

    wait_for(finished, seconds, f"run {run_id}")


def test_graphql_lists_runs(stack):
    answer = stack.graphql("query { runsOrError { __typename ... on Runs { results { runId } } } }")
    assert answer["runsOrError"]["__typename"] == "Runs"


def test_assets_are_materialized_through_the_queue_and_land_in_postgresql(stack):
    run_id = launch_numbers(stack)
    wait_for_success(stack, run_id)
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
    selector = {
        "repositoryLocationName": "dagma",
        "repositoryName": "__repository__",
        "jobName": "recipes",
    }
    run_id = launch(stack, selector)
    wait_for_success(stack, run_id)
    checks = stack.rows(
        "SELECT event FROM event_logs WHERE run_id = %s"
        " AND dagster_event_type = 'ASSET_CHECK_EVALUATION'",
        run_id,
    )
    assert len(checks) == 6
    assert all('"success": true' in event or '"passed": true' in event for (event,) in checks)


def test_assets_leave_files_below_the_storage_directory(stack):
    wait_for_success(stack, launch_numbers(stack))
    files = {path.name.split(".")[0] for path in (stack.home / "dagster/storage").rglob("*")}
    assert set(NUMBERS) <= files
