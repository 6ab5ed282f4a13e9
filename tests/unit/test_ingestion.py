import json
import os
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from platform_client import wait_for

from dagma.defs.ingestion import inbox as module
from dagma.defs.ingestion.assets import skipped_share, source_ingredients, source_recipes, sources
from dagma.defs.ingestion.inbox import Inbox, Key
from dagma.defs.ingestion.retention import RetentionConfig, expire_partitions
from dagma.defs.ingestion.sensor import recipe_inbox
from dagma.defs.recipes.source import RecipesSource
from dagma.kit.io.parquet import ParquetIOManager

CORPUS = [{"id": 1, "ingredients": ["2 tomatoes", "feta"]}]
OWN = {"processing", "archive", "failed"}


class Bench:
    """An inbox and an instance; `tick` does what the sensor's daemon does with an answer."""

    def __init__(self, root, instance):
        self.root, self.instance = root, instance
        self.inbox = Inbox(path=str(root), largest=10_000)
        self.cursor = None
        self.requested = []

    def drop(self, name, content=CORPUS):
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self.root / name).write_bytes(text)

    def tick(self, run=True):
        context = dg.build_sensor_context(self.instance, cursor=self.cursor)
        answer = recipe_inbox(context, inbox=self.inbox)
        self.cursor = answer.cursor or self.cursor
        for request in answer.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(sources.name, request.partition_keys)
        for request in answer.run_requests or []:
            assert request.run_key == request.partition_key
            self.requested.append(request.run_key)
            if run:
                self.run(request.run_key)
        return answer

    def run(self, key):
        return dg.materialize(
            [source_recipes, source_ingredients, skipped_share],
            partition_key=key,
            instance=self.instance,
            resources={
                "parquet_io_manager": ParquetIOManager(),
                "inbox": self.inbox,
                "recipes_source": RecipesSource(),
            },
            tags={"dagster/run_key": key, "dagster/sensor_name": "recipe_inbox"},
            raise_on_error=False,
        )

    def ticks(self, count=3):
        for _ in range(count):
            self.tick()

    def names(self, folder="."):
        found = {path.name for path in (self.root / folder).iterdir()} - OWN
        return sorted(found)

    @property
    def partitions(self):
        return list(self.instance.get_dynamic_partitions(sources.name))


@pytest.fixture
def bench(tmp_path):
    root = tmp_path / "inbox"
    root.mkdir()
    (tmp_path / "i").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "i")) as instance:
        yield Bench(root, instance)


def test_a_dropped_file_becomes_a_materialized_partition_and_is_archived(bench):
    bench.drop("greek.json")
    bench.ticks()
    [key] = bench.partitions
    assert key.startswith("greek-2")
    assert bench.names() == []
    assert bench.names("archive") == [f"{key}.json"]
    for asset in ("source_recipes", "source_ingredients"):
        found = bench.instance.get_materialized_partitions(dg.AssetKey(asset))
        assert found == {key}


def test_nothing_happens_in_an_empty_inbox(bench):
    answer = bench.tick()
    assert (answer.run_requests, answer.skip_reason) == ([], None)


def test_a_file_that_still_changes_is_left_alone(bench):
    for size in range(1, 4):
        bench.drop("greek.json", b"x" * size)
        bench.tick()
    assert (bench.names(), bench.requested) == (["greek.json"], [])
    bench.tick()
    assert len(bench.requested) == 1


def test_a_file_rewritten_with_the_same_size_and_time_is_seen_to_change(bench):
    bench.drop("greek.json")
    bench.tick()
    os.utime(bench.root / "greek.json", ns=(1, 1))
    bench.tick()
    assert bench.requested == []


def test_a_file_that_changes_while_it_is_read_is_left_alone(bench, monkeypatch):
    bench.drop("greek.json")
    digest = module.hashlib.file_digest

    def slow(content, name):
        bench.drop("greek.json", b"changed meanwhile")
        return digest(content, name)

    monkeypatch.setattr(module.hashlib, "file_digest", slow)
    bench.ticks(2)
    assert (bench.names(), bench.requested) == (["greek.json"], [])


@pytest.mark.parametrize("name", [".greek.json", "greek.json.part", "greek.json~", "a.TMP"])
def test_names_of_unfinished_files_are_ignored(bench, name):
    bench.drop(name)
    bench.ticks()
    assert (bench.names(), bench.requested) == ([name], [])


def test_the_same_file_twice_runs_once_also_under_another_name(bench):
    bench.drop("greek.json")
    bench.ticks()
    bench.drop("greek.json")
    bench.drop("copy.json")
    bench.cursor = None  # a daemon that has lost its memory
    deadline = time.monotonic() + 5  # one name and content a second: the next tick that may, does
    while bench.names() and time.monotonic() < deadline:
        bench.tick()
    assert len(bench.requested) == len(bench.partitions) == 1
    assert len(bench.names("archive")) == 3


def test_two_copies_dropped_together_run_once(bench):
    bench.drop("a.json")
    bench.drop("b.json")
    bench.ticks()
    assert len(bench.requested) == 1
    assert len(bench.names("archive")) == 2


def test_a_broken_file_is_kept_with_the_reason_beside_it(bench):
    bench.drop("greek.json", b"[\n{]")
    bench.ticks()
    [kept, text] = bench.names("failed")
    assert text == f"{kept}.error.txt"
    assert (bench.root / "failed" / kept).read_bytes() == b"[\n{]"
    why = (bench.root / "failed" / text).read_text()
    assert f"{kept}, line 2: this is not JSON" in why
    assert "processing" not in why
    assert bench.partitions == []


def test_a_file_that_fails_a_check_is_kept_with_the_reason_beside_it(bench):
    bench.drop("poor.json", CORPUS + [{"id": i} for i in range(2, 6)])
    bench.ticks()
    assert bench.names("archive") == []
    [file, why] = bench.names("failed")
    assert (file[:5], why) == ("poor-", f"{file}.error.txt")
    text = (bench.root / "failed" / why).read_text()
    assert "Check skipped_share of source_recipes failed: limit 0.05, skipped_share 0.8." in text
    assert bench.partitions == []


def test_put_back_a_broken_file_runs_again(bench):
    bench.drop("greek.json", b"[")
    bench.ticks()
    kept = bench.names("failed")[0]
    (bench.root / "failed" / kept).rename(bench.root / kept)
    second = int(time.time())
    wait_for(lambda: int(time.time()) != second, 5, "another second, of which a key is")
    bench.ticks()
    assert len(set(bench.requested)) == 2
    assert {Key.of(key).name for key in bench.requested} == {"greek"}


def test_an_unknown_form_fails_with_the_forms_that_are_known(bench):
    bench.drop("notes.txt", b"hello")
    bench.ticks()
    [_, text] = bench.names("failed")
    assert "must end in .db, .json, .csv" in (bench.root / "failed" / text).read_text()


def test_a_file_written_to_after_it_was_taken_fails_and_says_so(bench):
    bench.drop("greek.json")
    bench.tick()
    bench.tick(run=False)
    with (next((bench.root / "processing").glob("greek*"))).open("a") as late:
        late.write(" ")
    bench.ticks(2)
    [_, text] = bench.names("failed")
    assert "was changed after it was taken" in (bench.root / "failed" / text).read_text()


def test_a_request_that_was_lost_is_made_again_with_the_same_key(bench):
    bench.drop("greek.json")
    bench.tick()
    bench.tick(run=False)  # the daemon dies here
    bench.cursor = None
    bench.ticks(2)
    assert len(bench.requested) == 2
    assert len(set(bench.requested)) == 1
    assert len(bench.names("archive")) == 1


@dg.job
def anything(): ...


def test_a_run_under_way_is_waited_for(bench):
    bench.drop("greek.json")
    bench.tick()
    bench.tick(run=False)
    [key] = bench.requested
    tags = {"dagster/run_key": key, "dagster/sensor_name": "recipe_inbox"}
    run = bench.instance.create_run_for_job(anything, status=dg.DagsterRunStatus.STARTED, tags=tags)
    bench.ticks(2)
    assert bench.names("processing") == [f"{key}.json"]
    assert bench.requested == [key]
    # It crashes, and Dagster starts it again: no failure yet.
    bench.instance.report_run_failed(run, "killed")
    bench.instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(bench.instance), "run_retries_enabled", True)
        bench.ticks(2)
        assert bench.names("processing") == [f"{key}.json"]
        bench.instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
        bench.ticks(1)
    assert bench.names("failed") == [f"{key}.json", f"{key}.json.error.txt"]
    assert "killed" in (bench.root / "failed" / f"{key}.json.error.txt").read_text()


def test_a_partition_is_materialized_again_from_the_archive(bench):
    bench.drop("greek.json")
    bench.ticks()
    assert bench.run(bench.partitions[0]).success


def test_a_partition_without_a_file_says_where_it_was_looked_for(bench):
    bench.instance.add_dynamic_partitions(sources.name, ["made-up"])
    result = bench.run("made-up")
    [event] = [event for event in result.all_events if event.is_step_failure]
    text = event.step_failure_data.user_failure_data.description
    assert text.startswith("There is no file for made-up in ")


def test_a_symbolic_link_and_a_folder_are_left_alone_and_named(bench, tmp_path):
    (tmp_path / "secret.json").write_text(json.dumps(CORPUS))
    (bench.root / "link.json").symlink_to(tmp_path / "secret.json")
    (bench.root / "folder").mkdir()
    os.mkfifo(bench.root / "pipe.json")
    bench.tick()
    reason = bench.tick().skip_reason
    text = str(reason.skip_message if isinstance(reason, dg.SkipReason) else reason)
    for name in ("link.json", "folder", "pipe.json"):
        assert f"{name} is not a regular file" in text
    assert bench.names() == ["folder", "link.json", "pipe.json"]


def test_a_huge_file_is_refused_without_being_read(bench):
    with (bench.root / "huge.json").open("wb") as file:
        file.truncate(10_001)
    bench.ticks(2)
    [kept, text] = bench.names("failed")
    assert (bench.root / "failed" / kept).stat().st_size == 10_001
    assert "10001 bytes, more than the 10000" in (bench.root / "failed" / text).read_text()
    assert bench.requested == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_an_unreadable_file_is_refused(bench):
    bench.drop("greek.json")
    (bench.root / "greek.json").chmod(0)
    bench.ticks(2)
    [_, text] = bench.names("failed")
    assert "cannot be read: Permission denied" in (bench.root / "failed" / text).read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("two words.json", "two-words"),
        ("línea\nnueva\t.json", "línea-nueva"),
        ("番茄...炒蛋.json", "番茄-炒蛋"),
        ("x" * 250 + ".json", "x" * 40),
        ("\N{TOMATO}.json", "file"),
        (os.fsdecode(b"caf\xe9.json"), "caf"),
        ("-rf.json", "rf"),
        ("a$(id)'\".json", "a-id"),
    ],
)
def test_odd_names_become_sound_keys(bench, name, expected):
    bench.drop(name)
    bench.ticks()
    [key] = bench.partitions
    assert Key.of(key).name == expected
    assert bench.names("archive") == [f"{key}.json"]


def test_a_file_in_the_way_is_not_overwritten(bench):
    bench.drop("greek.json")
    bench.ticks(2)
    [key] = bench.partitions
    (bench.root / "archive" / f"{key}.json").write_text("mine")
    assert f"{key}.json cannot be moved" in str(bench.tick().skip_reason)
    assert (bench.root / "archive" / f"{key}.json").read_text() == "mine"
    assert bench.names("processing") == [f"{key}.json"]


def test_a_tick_beside_another_does_nothing(bench):
    bench.drop("greek.json")
    with bench.inbox.alone():
        assert "still at work" in str(bench.tick().skip_reason)


def test_without_the_setting_the_sensor_says_so(bench):
    bench.inbox = Inbox()
    assert "DAGMA_INBOX is not set" in str(bench.tick().skip_reason)


def expire(bench, **settings):
    return expire_partitions.execute_in_process(
        instance=bench.instance,
        resources={"inbox": bench.inbox},
        run_config=dg.RunConfig(ops={"expire": RetentionConfig(**settings)}),
    )


def age(bench, days):
    """Make everything in the archive, and its partitions, so much older."""
    for file in (bench.root / "archive").iterdir():
        key = Key.of(file.stem)
        old = str(key._replace(time=key.time - timedelta(days=days)))
        file.rename(file.with_name(f"{old}{file.suffix}"))
        if str(key) in bench.partitions:
            bench.instance.delete_dynamic_partition(sources.name, str(key))
            bench.instance.add_dynamic_partitions(sources.name, [old])


@pytest.fixture
def aged(bench):
    bench.drop("old.json")
    bench.ticks()
    age(bench, 40)
    bench.drop("copy.json")
    bench.drop("young.json", [{"id": 2, "ingredients": ["leek"]}])
    bench.ticks()
    assert len(bench.names("archive")) == 3
    return bench


def test_expired_partitions_are_only_reported_by_default(aged):
    before = (aged.partitions, aged.names("archive"))
    result = expire(aged, days=30)
    assert (aged.partitions, aged.names("archive")) == before
    [event] = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    metadata = event.step_output_data.metadata
    assert (metadata["expired"].value, metadata["removed"].value) == (1, False)


def test_told_to_it_removes_partition_and_file_and_nothing_else(aged):
    aged.instance.add_dynamic_partitions(sources.name, ["made by hand"])
    expire(aged, days=30, dry_run=False)
    assert sorted(Key.of(name).name if Key.of(name) else name for name in aged.partitions) == [
        "made by hand",
        "young",
    ]
    assert [name.split("-")[0] for name in aged.names("archive")] == ["copy", "young"]


def test_an_expired_file_that_comes_again_is_new(aged):
    expire(aged, days=30, dry_run=False)
    aged.drop("old.json")
    aged.ticks()
    assert len(aged.partitions) == 2


def test_what_is_being_processed_does_not_expire(bench):
    bench.drop("greek.json")
    bench.tick()
    bench.tick(run=False)
    [file] = (bench.root / "processing").glob("greek*")
    key = Key.of(file.stem)._replace(time=datetime.now(UTC) - timedelta(days=400))
    file.rename(file.with_name(f"{key}.json"))
    bench.instance.add_dynamic_partitions(sources.name, [str(key)])
    expire(bench, days=30, dry_run=False)
    assert str(key) in bench.partitions
    assert bench.names("processing") == [f"{key}.json"]


def test_a_killed_removal_is_finished_by_the_next(aged):
    [old] = [name for name in aged.names("archive") if name.startswith("old")]
    (aged.root / "archive" / old).unlink()  # killed here
    expire(aged, days=30, dry_run=False)
    assert [Key.of(key).name for key in aged.partitions] == ["young"]
