import json
import os
import signal

import pytest
from live_stack import wait_for

BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename
  ... on LaunchBackfillSuccess { backfillId launchedRunIds }
  ... on PythonError { message }
} }
"""
#: Two ticks of the sensor until a file is taken, a run, and the tick that files it away.
SOON = 120


def drop(stack, name, *ids):
    """Put a corpus with these recipes into the inbox, in one step."""
    corpus = [{"id": id_, "ingredients": ["2 tomatoes", "feta"]} for id_ in ids]
    temporary = stack.home / "inbox" / f"{name}.part"
    temporary.write_text(json.dumps(corpus) if ids else "[ this is no corpus")
    temporary.rename(stack.home / "inbox" / name)


def names(stack, folder):
    directory = stack.home / "inbox" / folder
    return sorted(path.name for path in directory.glob("[!.]*") if path.is_file())


def filed(stack, folder, beginning, seconds=SOON):
    """The first file of a folder of the inbox with this beginning, once there is one."""
    return wait_for(
        lambda: next((name for name in names(stack, folder) if name.startswith(beginning)), None),
        seconds,
        f"{beginning}* in {folder}",
    )


def runs_of(stack, key):
    return stack.rows(
        "SELECT runs.run_id, status FROM runs JOIN run_tags USING (run_id)"
        " WHERE key = 'dagster/partition' AND value = %s",
        key,
    )


def partitions(stack):
    return [key for (key,) in stack.rows("SELECT partition FROM dynamic_partitions")]


@pytest.fixture(scope="module")
def filed_away(stack):
    """Names in archive and failed, of files dropped before the daemon was killed."""
    drop(stack, "greek.json", 1, 2)
    drop(stack, "thai.json", 3)
    drop(stack, "broken.json")
    daemon = stack.status()["daemon"]
    wait_for(lambda: names(stack, "processing"), SOON, "a file that is taken")
    os.kill(daemon["pid"], signal.SIGKILL)  # between the drop and the run
    found = [filed(stack, "archive", f"{name}-") for name in ("greek", "thai")]
    failed = filed(stack, "failed", "broken-")
    assert stack.status()["daemon"]["pid"] != daemon["pid"]
    return found, failed


def test_the_daemon_killed_between_drop_and_run_loses_nothing(stack, filed_away):
    archived, failed = filed_away
    keys = [name.removesuffix(".json") for name in archived]
    for key in keys:
        assert [status for _, status in runs_of(stack, key)] == ["SUCCESS"]
    assert sorted(partitions(stack)) == sorted(keys)
    why = (stack.home / "inbox/failed" / f"{failed}.error.txt").read_text()
    assert f"{failed}, line 1: this is not JSON" in why
    assert names(stack, ".") == []


def test_the_same_content_under_another_name_runs_no_second_time(stack, filed_away):
    before = sorted(partitions(stack))
    drop(stack, "again.json", 1, 2)
    filed(stack, "archive", "again-")
    assert sorted(partitions(stack)) == before


def test_a_backfill_over_partitions_reads_the_archive_through_the_queue(stack, filed_away):
    keys = [name.removesuffix(".json") for name in filed_away[0]]
    repository = {"repositoryLocationName": "dagma", "repositoryName": "__repository__"}
    job = {"partitionSetName": "ingest_source_partition_set", "repositorySelector": repository}
    params = {"selector": job, "partitionNames": keys}
    answer = stack.graphql(BACKFILL, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    for key in keys:
        wait_for(lambda key=key: len(runs_of(stack, key)) == 2, SOON, f"a second run of {key}")
        for run_id, _ in runs_of(stack, key):
            stack.wait_for_success(run_id, SOON)
            assert stack.rows(
                "SELECT 1 FROM event_logs"
                " WHERE run_id = %s AND dagster_event_type = 'PIPELINE_ENQUEUED'",
                run_id,
            )


def test_the_inbox_is_for_its_owner_only(stack):
    assert (stack.home / "inbox").stat().st_mode & 0o777 == 0o700
