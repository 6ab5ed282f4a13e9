import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import dagster as dg
import pandas as pd
import pytest
from platform_client import wait_for

from dagma.kit.io.postgres import PostgresIOManager

CUISINES = dg.DynamicPartitionsDefinition(name="cuisines")
frames = {}


def asset(name, **options):
    @dg.asset(name=name, io_manager_key="postgres", **options)
    def stored(context: dg.AssetExecutionContext):
        return frames[context.partition_key if context.has_partition_key else name]

    return stored


plain = asset("plain")
parted = asset("parted", partitions_def=CUISINES, metadata={"partition_expr": "cuisine"})


@dg.asset(io_manager_key="memory")
def whole(plain):
    return plain


@dg.asset(io_manager_key="memory")
def all_parts(parted):
    return parted


@dg.asset(io_manager_key="memory", partitions_def=CUISINES)
def one_part(parted):
    return parted


def url(stack):
    port, file = stack.ports["POSTGRES_PORT"], stack.home / "secrets/pgpass"
    return f"postgresql+psycopg2://analytics@127.0.0.1:{port}/analytics?passfile={file}"


@pytest.fixture
def run(stack):
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("cuisines", ["greek", "thai"])

        def run(*assets, manager=None, **options):
            return dg.materialize(
                list(assets),
                instance=instance,
                resources={
                    "postgres": manager or PostgresIOManager(url=url(stack), db_schema="io_test"),
                    "memory": dg.InMemoryIOManager(),
                },
                raise_on_error=False,
                **options,
            )

        yield run
    with analytics(stack) as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS io_test CASCADE")


@contextmanager
def analytics(stack):
    with stack.database("analytics", "analytics") as cursor:
        cursor.connection.autocommit = True
        yield cursor


def rows(stack, query):
    return stack.rows(query, database="analytics")


def failure(result):
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data
    return data.user_failure_data.description if data.user_failure_data else data.error.to_string()


def test_a_frame_comes_back_as_it_was(run):
    frame = pd.DataFrame(
        {
            "id": [1, 2, 3],
            "amount": [0.1, None, 1e300],
            "text": ['a,"b"\n', "", None],
            "at": pd.to_datetime(["2026-01-02T03:04:05.000006"] * 3),
        }
    )
    frames["plain"] = frame
    back = run(plain, whole).output_for_node("whole").sort_values("id", ignore_index=True)
    assert back["text"].isna().tolist() == [False, False, True]
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)


def test_the_table_and_its_first_rows_are_metadata(run):
    frames["plain"] = pd.DataFrame({"id": [7]})
    (event,) = run(plain).asset_materializations_for_node("plain")
    assert event.metadata["dagster/table_name"].value == "analytics.io_test.plain"
    assert event.metadata["preview"].value.splitlines()[-1] == "| 7 |"


def test_the_next_frame_replaces_the_rows_and_keeps_what_depends_on_the_table(run, stack):
    frames["plain"] = pd.DataFrame({"id": [1, 2]})
    run(plain)
    with analytics(stack) as cursor:
        cursor.execute("CREATE VIEW io_test.looking AS SELECT * FROM io_test.plain")
    frames["plain"] = pd.DataFrame({"id": [3]})
    assert run(plain).success
    assert rows(stack, "SELECT id FROM io_test.looking") == [(3,)]


def test_other_columns_make_the_table_anew(run, stack):
    frames["plain"] = pd.DataFrame({"id": [1]})
    run(plain)
    frames["plain"] = pd.DataFrame({"name": ["leek"]})
    assert run(plain).success
    assert rows(stack, "SELECT * FROM io_test.plain") == [("leek",)]


def test_a_value_of_another_type_changes_nothing_and_says_what_to_do(run, stack):
    frames["plain"] = pd.DataFrame({"id": [1]})
    run(plain)
    frames["plain"] = pd.DataFrame({"id": ["x"]})
    assert "drop the table first" in failure(run(plain))
    assert rows(stack, "SELECT id FROM io_test.plain") == [(1,)]


def test_a_partition_replaces_its_own_rows(run, stack):
    for key, ids in [("greek", [1, 2]), ("thai", [3]), ("greek", [4])]:
        frames[key] = pd.DataFrame({"id": ids, "cuisine": key})
        assert run(parted, partition_key=key).success
    assert sorted(rows(stack, "SELECT id, cuisine FROM io_test.parted")) == [
        (3, "thai"),
        (4, "greek"),
    ]
    one = run(parted, one_part, selection=["one_part"], partition_key="thai")
    assert one.output_for_node("one_part")["id"].tolist() == [3]
    both = run(parted, all_parts, selection=["all_parts"])
    assert sorted(both.output_for_node("all_parts")["id"]) == [3, 4]


def test_rows_of_another_partition_are_refused(run, stack):
    frames["greek"] = pd.DataFrame({"id": [1, 2], "cuisine": ["greek", "thai"]})
    assert "1 rows have another value" in failure(run(parted, partition_key="greek"))


def test_a_table_that_is_not_there_is_named(run):
    assert failure(run(plain, whole, selection=["whole"])) == (
        "PostgreSQL has no table io_test.plain: materialize plain first."
    )


def test_an_unset_url_says_what_to_set(run):
    frames["plain"] = pd.DataFrame({"id": [1]})
    assert failure(run(plain, manager=PostgresIOManager(url=""))).startswith(
        "DAGMA_ANALYTICS_URL is not set"
    )


def test_readers_see_the_old_rows_or_the_new_ones(run, stack):
    frames["plain"] = pd.DataFrame({"id": range(50_000)})
    run(plain)
    seen, done = set(), threading.Event()

    def read():
        with analytics(stack) as cursor:
            while not done.is_set():
                cursor.execute("SELECT count(*), min(id) FROM io_test.plain")
                seen.add(cursor.fetchone())

    reader = threading.Thread(target=read)
    reader.start()
    wait_for(lambda: seen, 30, "the old rows")
    frames["plain"] = pd.DataFrame({"id": range(50_000, 120_000)})
    try:
        assert run(plain).success
        wait_for(lambda: (70_000, 50_000) in seen, 30, "the new rows")
    finally:
        done.set()
        reader.join()
    assert seen == {(50_000, 0), (70_000, 50_000)}


def test_two_writers_at_once_leave_the_rows_of_one(run, stack):
    manager = PostgresIOManager(url=url(stack), db_schema="io_test")
    frame = pd.DataFrame({"id": range(20_000)})

    def write():
        manager.handle_output(dg.build_output_context(asset_key="plain"), frame)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert rows(stack, "SELECT count(*) FROM io_test.plain") == [(20_000,)]


WRITER = """
import os, sys
import dagster as dg, pandas as pd
from dagma.kit.io import postgres
sent = postgres._copy
def slowly(*arguments):
    sent(*arguments)
    print("sent", flush=True)
    sys.stdin.readline()
postgres._copy = slowly

@dg.asset(io_manager_key="postgres")
def plain():
    return pd.DataFrame({"id": range(15_000)})

manager = postgres.PostgresIOManager(url=os.environ["URL"], db_schema="io_test")
dg.materialize([plain], resources={"postgres": manager})
"""


def test_a_killed_writer_leaves_what_was_there(run, stack):
    frames["plain"] = pd.DataFrame({"id": [1]})
    run(plain)
    environ = os.environ | {"URL": url(stack)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        while writer.stdout.readline().strip() != "sent":
            assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
    assert rows(stack, "SELECT id FROM io_test.plain") == [(1,)]
    frames["plain"] = pd.DataFrame({"id": [2]})
    assert run(plain).success  # the dead writer's lock is gone
