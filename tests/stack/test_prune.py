"""Pruning real runs that were made to look old, in a database of its own on the stack's PostgreSQL."""

import os
import shutil
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.loader import LoadingContextForTest
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer

from dagma.instance.leases import database
from dagma.lock import alone
from dagma.stack import settings
from dagma.stack.upkeep import prune

DAYS = 30
LETTERS = dg.StaticPartitionsDefinition(["a", "b", "c", "d"])


@dg.asset
def whole(context):
    context.log.info("at work")
    print("printed")
    return 1


@dg.asset
def child(whole):
    return whole


@dg.asset(partitions_def=LETTERS)
def parted(context):
    if context.run.tags.get("fails"):
        raise ValueError
    return context.partition_key


@dg.asset_check(asset=parted)
def good(context):
    if context.run.tags.get("fails"):
        raise ValueError
    return dg.AssetCheckResult(passed=not context.run.tags.get("bad"))


@dg.asset
def source(context):
    return dg.MaterializeResult(data_version=dg.DataVersion(context.run.tags["version"]))


@dg.op
def one(context):
    context.log.info("at work")
    print("printed")
    if context.run.tags.get("fails"):
        raise ValueError
    if kind := context.run.tags.get("logs"):
        context.log_event(getattr(dg, kind)("elsewhere"))
    return 1


@dg.op
def two(one):
    return one


@dg.job
def plain():
    two(one())


DEFINITIONS = dg.Definitions(
    [whole, child, parted, source],
    asset_checks=[good],
    jobs=[
        plain,
        dg.define_asset_job("pair", ["whole", "child"]),
        dg.define_asset_job("first", ["whole"]),
        dg.define_asset_job("parts", dg.AssetSelection.assets(parted)),
        dg.define_asset_job("check", dg.AssetSelection.checks_for_assets(parted)),
        dg.define_asset_job("look", ["source"]),
    ],
)


@contextmanager
def an_instance(stack, folder):
    """An instance of the stack's kind with a database of its own."""
    with stack.database("postgres", "postgres") as cursor:
        cursor.connection.autocommit = True
        cursor.execute("DROP DATABASE IF EXISTS prune")
        cursor.execute("CREATE DATABASE prune OWNER dagster")
    port, file = stack.ports["POSTGRES_PORT"], stack.home / "secrets/pgpass"
    url = f"postgresql+psycopg2://dagster@127.0.0.1:{port}/prune?passfile={file}"
    shutil.copy(str(resources.files("dagma.instance") / "dagster.yaml"), folder)
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("DAGMA_POSTGRES_URL", url)
        environ.setenv("DAGMA_MAX_CONCURRENT_RUNS", "1")
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield instance


@pytest.fixture(scope="module")
def instance(stack, tmp_path_factory):
    with an_instance(stack, tmp_path_factory.mktemp("d")) as one_:
        yield one_


class History:
    """Runs by names that tests give them; they are made to look old unless it is said otherwise."""

    def __init__(self, instance):
        self.instance = instance
        self.runs = {}
        self.cursors = []  # before and after each event of an asset that seldom changes

    def run(self, name, job, old=True, **options):
        """Execute a job in this process, on the instance."""
        definition = DEFINITIONS.resolve_job_def(job)
        done = definition.execute_in_process(
            instance=self.instance, raise_on_error=False, **options
        )
        self.runs.pop(name, None)
        self.runs[name] = done.run_id  # the last one
        if old:
            self.age()
        return done

    def age(self):
        then = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=DAYS + 1)
        name = list(self.runs)[-1]
        rows(
            self.instance,
            "UPDATE runs SET update_timestamp = :t WHERE run_id = :r",
            t=then,
            r=self.runs[name],
        )

    def left(self):
        ids = set(self.instance.get_run_ids())
        return {name for name, run_id in self.runs.items() if run_id in ids}


def rows(instance, query, **values):
    with database(instance).connect() as link:
        result = link.execute(sa.text(query), values)
        return [tuple(row) for row in result] if result.returns_rows else []


def state(instance, cursors):
    """What Dagster says of all assets, partitions and checks, worked out anew."""
    storage, graph = instance.event_log_storage, DEFINITIONS.resolve_asset_graph()
    instance.wipe_asset_cached_status(list(graph.get_all_asset_keys()))
    queryer = CachingInstanceQueryer(instance, graph, LoadingContextForTest(instance))
    stale = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    keys = sorted(graph.get_all_asset_keys())
    letters = LETTERS.get_partition_keys()
    return {
        "newest": {key: str(instance.get_latest_materialization_event(key)) for key in keys},
        "asset rows": sorted(map(str, storage.get_asset_records(keys))),
        "partitions": instance.get_status_by_partition(parted.key, letters, LETTERS),
        "ids": storage.get_latest_storage_id_by_partition(
            parted.key, dg.DagsterEventType.ASSET_MATERIALIZATION
        ),
        "planned": {
            (key, letter): storage.get_latest_planned_materialization_info(key, letter)
            for key in keys
            for letter in (None, *letters)
        },
        "checks": storage.get_asset_check_summary_records([good.check_key]),
        "checked": storage.get_asset_check_partition_info([good.check_key]),
        "stale": {key: stale.get_status(key) for key in keys}
        | {letter: stale.get_status(parted.key, letter) for letter in letters},
        "news": [
            bool(
                queryer.get_asset_partitions_updated_after_cursor(
                    source.key, None, at, respect_materialization_data_versions=True
                )
            )
            for at in cursors
        ],
    }


def pruned(instance, *what, dry_run=False):
    """Prune with limits of `DAYS` on the given things; what is said."""
    chosen = settings.load({f"DAGMA_KEEP_{one}_DAYS": str(DAYS) for one in what}).settings
    said = []
    prune.Pruning(instance, chosen, dry_run).all(said.append)
    return said


def everything(instance):
    """All that pruning could touch: rows of each table, and files."""
    tables = [
        name
        for (name,) in rows(instance, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    found = {name: rows(instance, f"SELECT count(*) FROM {name}") for name in tables}
    return found, {
        path: path.stat().st_size for path in Path(instance.storage_directory()).rglob("*")
    }


def files(instance, run_id):
    return [
        path.name
        for path in (Path(instance.storage_directory()) / run_id).rglob("*")
        if path.is_file()
    ]


@pytest.fixture(scope="module")
def history(instance):
    """Old runs that are needed for what Dagster shows, and old runs that are not."""
    past = History(instance)
    fails = {"fails": "yes"}
    past.run("ops", "plain")
    past.run("pair superseded", "pair")
    past.run("pair", "pair")  # the child is made of this
    past.run("first superseded", "first")
    past.run("first", "first")  # newer than the child, which is stale
    past.run("a superseded", "parts", partition_key="a")
    past.run("a", "parts", partition_key="a")
    past.run("b", "parts", partition_key="b")
    past.run("c", "parts", partition_key="c")
    past.run("c failed", "parts", partition_key="c", tags=fails)
    past.run("d failed before", "parts", partition_key="d", tags=fails)
    past.run("d failed", "parts", partition_key="d", tags=fails)
    past.run("check superseded", "check")
    past.run("check", "check", tags={"bad": "yes"})
    past.run("check failed", "check", tags=fails)
    for name, version in (("v0", 0), ("v1", 1), ("v1 repeated", 1), ("v1 newest", 1)):
        past.run(name, "look", tags={"version": str(version)})
    past.run("observed", "plain", tags={"logs": "AssetObservation"})
    past.run("made", "plain", tags={"logs": "AssetMaterialization"})
    past.run("requested", "plain", tags={"dagster/run_key": "a file"})
    past.run("waits for its retry", "plain", tags=fails)
    instance.add_run_tags(past.runs["waits for its retry"], {"dagster/will_retry": "true"})
    past.age()
    past.run("of a backfill", "plain", tags={"dagster/backfill": "open"})
    past.run("of a closed backfill", "plain", tags={"dagster/backfill": "closed"})
    for name, status in (
        ("open", BulkActionStatus.REQUESTED),
        ("closed", BulkActionStatus.COMPLETED_SUCCESS),
    ):
        instance.add_backfill(
            PartitionBackfill(name, status, from_failure=False, tags={}, backfill_timestamp=0.0)
        )
    past.run("parent", "plain")
    parent = past.runs["parent"]
    begun = instance.create_run_for_job(
        plain, status=dg.DagsterRunStatus.STARTED, parent_run_id=parent, root_run_id=parent
    )
    past.runs["in progress"] = begun.run_id
    past.age()
    past.run("young", "plain", old=False)
    source_events = "SELECT id FROM event_logs WHERE asset_key LIKE '%source%'"
    past.cursors = [found for (found,) in rows(instance, source_events)]
    handed_on = Path(instance.storage_directory()) / past.runs["requested"] / "one/result"
    handed_on.parent.mkdir()
    handed_on.touch()
    return past


UNNEEDED = {
    "ops",
    "pair superseded",
    "first superseded",
    "a superseded",
    "d failed before",
    "check superseded",
    "v1 repeated",
    "v0",
    "of a closed backfill",
}


#: In the order in which they are pruned.
ALL = ("RUNS", "EVENTS", "COMPUTE_LOGS")
LOG_LINES = "SELECT count(*) FROM event_logs WHERE dagster_event_type IS NULL AND run_id = :r"


@pytest.fixture(scope="module")
def shown(history, instance):
    """What Dagster says before anything is removed."""
    return state(instance, history.cursors)


@pytest.fixture(scope="module")
def foreseen(history, instance, shown):
    """What a dry run says."""
    return pruned(instance, *ALL, dry_run=True)


def test_nothing_is_removed_unless_a_setting_says_so(history, instance):
    before = everything(instance)
    said = pruned(instance)
    assert [line for line in said if "for ever (DAGMA_KEEP_" in line] == said
    assert everything(instance) == before


def test_a_dry_run_touches_nothing(history, instance):
    before = everything(instance)
    said = pruned(instance, *ALL, dry_run=True)
    assert everything(instance) == before
    assert said[0].startswith(
        f"Finished runs older than 30 days: would be removed of {len(UNNEEDED)} runs"
    )


def test_runs_that_hold_a_state_or_are_awaited_stay_and_the_others_go_with_all_they_have(
    history, instance, shown, foreseen
):
    gone = [history.runs[name] for name in UNNEEDED]
    assert any(files(instance, run_id) for run_id in gone)
    assert pruned(instance, "RUNS")[0] == foreseen[0].replace("would be ", "")
    assert history.left() == set(history.runs) - UNNEEDED
    assert state(instance, history.cursors) == shown
    for table in ("event_logs", "asset_check_executions", "run_tags"):
        found = rows(instance, f"SELECT count(*) FROM {table} WHERE run_id = ANY(:g)", g=gone)
        assert found == [(0,)], table
    tags = "SELECT count(*) FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)"
    assert rows(instance, tags) == [(0,)]
    assert [files(instance, run_id) for run_id in gone] == [[]] * len(gone)


def test_what_steps_did_goes_and_why_they_failed_stays(history, instance, shown, foreseen):
    assert rows(instance, LOG_LINES, r=history.runs["pair"]) != [(0,)]
    assert pruned(instance, "EVENTS")[1] == foreseen[1].replace("would be ", "")
    assert state(instance, history.cursors) == shown
    for name, count in (("pair", 0), ("requested", 0), ("young", 1), ("parent", 1)):
        assert rows(instance, LOG_LINES, r=history.runs[name]) == [(count,)], name
    failure = "SELECT dagster_event_type FROM event_logs WHERE run_id = :r"
    assert ("STEP_FAILURE",) in rows(instance, failure, r=history.runs["c failed"])
    kinds = rows(
        instance,
        "SELECT DISTINCT dagster_event_type FROM event_logs WHERE run_id = :r",
        r=history.runs["a"],
    )
    assert {kind for (kind,) in kinds} == {
        "PIPELINE_START",
        "PIPELINE_SUCCESS",
        "LOGS_CAPTURED",
        "ASSET_MATERIALIZATION",
        "ASSET_MATERIALIZATION_PLANNED",
        "ASSET_CHECK_EVALUATION",
        "ASSET_CHECK_EVALUATION_PLANNED",
    }


def test_what_steps_printed_goes_and_files_of_assets_and_ops_stay(history, instance, foreseen):
    storage = Path(instance.storage_directory())
    before = {
        name: files(instance, history.runs[name]) for name in ("young", "parent", "requested")
    }
    assert pruned(instance, "COMPUTE_LOGS")[2] == foreseen[2].replace("would be ", "")
    assert files(instance, history.runs["pair"]) == []
    assert not (storage / history.runs["pair"]).exists()
    assert files(instance, history.runs["young"]) == before["young"]
    assert files(instance, history.runs["parent"]) == before["parent"]
    assert set(files(instance, history.runs["requested"])) == {"result"}
    assert (storage / "whole").is_file()
    assert {path.name for path in (storage / "parted").iterdir()} == {"a", "b", "c"}


def test_printed_lines_of_runs_that_are_no_more_go_when_they_are_old(history, instance):
    storage = Path(instance.storage_directory())
    old, new = (storage / str(uuid.uuid4()) / "compute_logs" for _ in range(2))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "x.err").write_text("printed")
    then = time.time() - (DAYS + 1) * 86400
    os.utime(old, (then, then))
    pruned(instance, "COMPUTE_LOGS")
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("step", ["delete_events", "delete_run"])
def test_what_was_cut_short_is_finished_by_the_next_one(
    history, instance, shown, monkeypatch, step
):
    history.run("cut", "plain")
    pruned(instance, "RUNS")
    assert "cut" in history.left()  # the newest row of the event log stays: cursors begin there
    history.run("after it", "plain", old=False)
    whose = instance if step == "delete_run" else instance.event_log_storage

    def killed(run_id):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(whose, step, killed)
        pruned(instance, "RUNS")
    assert "cut" in history.left()
    pruned(instance, "RUNS")
    assert "cut" not in history.left()
    orphans = "SELECT count(*) FROM event_logs WHERE run_id NOT IN (SELECT run_id FROM runs)"
    assert rows(instance, orphans) == [(0,)]


def test_the_command_prunes_the_running_stack(stack):
    stack.settings["DAGMA_KEEP_RUNS_DAYS"] = "365"
    try:
        said = stack.dagma("prune", "--dry-run")
    finally:
        del stack.settings["DAGMA_KEEP_RUNS_DAYS"]
    assert "Finished runs older than 365 days: would be removed of 0 runs, 0 rows" in said
    assert "Compute logs are kept for ever (DAGMA_KEEP_COMPUTE_LOGS_DAYS)." in said


def test_a_second_one_at_the_same_time_is_refused(stack):
    with alone(stack.home / "run", AssertionError()):
        assert "Another `dagma prune` is at work" in stack.dagma("prune", fails=True)
