import signal
import stat
import subprocess
import sys
import time

import dagster as dg
import pandas as pd
import pytest

from dagma.kit.io.parquet import ParquetIOManager, write_atomically

KINDS = dg.StaticPartitionsDefinition(["a", "..", "x/../../y", "%2F", "été"])


@dg.asset(io_manager_key="parquet")
def whole():
    return pd.DataFrame({"name": ["leek", None], "amount": [1.5, None], "place": [1, 2]})


@dg.asset(io_manager_key="parquet")
def reader(whole):
    return whole


@dg.asset(io_manager_key="parquet", partitions_def=KINDS)
def parted(context: dg.AssetExecutionContext):
    return pd.DataFrame({"kind": [context.partition_key]})


@dg.asset(io_manager_key="parquet")
def united(parted):
    return pd.concat(parted.values(), ignore_index=True)


@dg.asset(io_manager_key="parquet")
def no_frame():
    return [1]


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "instance")) as instance:
        yield instance


@pytest.fixture
def run(instance):
    def run(*assets, manager=None, **options):
        return dg.materialize(
            list(assets),
            instance=instance,
            resources={"parquet": manager or ParquetIOManager()},
            **options,
        )

    return run


def failure(result):
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.error.to_string()


def test_a_frame_comes_back_as_it_was(run):
    result = run(whole, reader)
    pd.testing.assert_frame_equal(result.output_for_node("reader"), whole())


def test_the_default_directory_is_that_of_the_instance(run, instance, tmp_path):
    run(whole)
    assert (tmp_path / "instance/storage/whole.parquet").is_file()
    assert instance.storage_directory() == str(tmp_path / "instance/storage")


def test_the_directory_can_be_configured(run, tmp_path):
    run(whole, manager=ParquetIOManager(base_dir=str(tmp_path / "lake")))
    assert [path.name for path in (tmp_path / "lake").iterdir()] == ["whole.parquet"]


def test_a_url_is_refused():
    with pytest.raises(ValueError, match="local directories only"):
        ParquetIOManager(base_dir="s3://bucket/lake")


def test_the_first_rows_are_metadata(run):
    (event,) = run(whole).asset_materializations_for_node("whole")
    assert event.metadata["dagster/row_count"].value == 2
    assert event.metadata["preview"].value.splitlines()[2:] == [
        "| leek | 1.5 | 1 |",
        "|  |  | 2 |",
    ]


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("a", "a.parquet"),
        ("..", "%2E%2E.parquet"),
        ("x/../../y", "x/%2E%2E/%2E%2E/y.parquet"),
        ("%2F", "%252F.parquet"),
        ("été", "été.parquet"),
    ],
)
def test_each_partition_has_a_file_in_the_folder_of_the_asset(run, tmp_path, key, file):
    run(parted, partition_key=key, manager=ParquetIOManager(base_dir=str(tmp_path / "lake")))
    (made,) = [path for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    assert made.relative_to(tmp_path / "lake/parted").as_posix() == file


def test_several_partitions_are_read_as_one_dict(run):
    for key in KINDS.get_partition_keys():
        run(parted, partition_key=key)
    result = run(parted, united, selection=["united"])
    assert result.output_for_node("united")["kind"].tolist() == KINDS.get_partition_keys()


def test_another_type_is_refused_and_nothing_is_written(run, tmp_path):
    result = run(
        no_frame, manager=ParquetIOManager(base_dir=str(tmp_path / "l")), raise_on_error=False
    )
    assert "choose another io_manager_key" in failure(result)
    assert list((tmp_path / "l").iterdir()) == []


def test_what_was_never_stored_is_named(run):
    result = run(whole, reader, selection=["reader"], raise_on_error=False)
    assert "materialize whole first" in failure(result)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    target = tmp_path / "frame.parquet"
    write_atomically(pd.DataFrame({"a": [1]}), target)
    with pytest.raises(Exception, match="Conversion failed"):
        write_atomically(pd.DataFrame({"a": [1, "x", object()]}), target)
    assert pd.read_parquet(target)["a"].tolist() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["frame.parquet"]


def test_a_file_has_the_mode_of_any_other(tmp_path):
    write_atomically(pd.DataFrame({"a": [1]}), tmp_path / "frame.parquet")
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


WRITER = """
import sys
from pathlib import Path
import numpy, pandas
from dagma.kit.io.parquet import write_atomically
version = 0
while True:
    version += 1
    frame = pandas.DataFrame({"version": version, "noise": numpy.random.random(2_000_000)})
    print(version, flush=True)
    write_atomically(frame, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("pause", [0.03, 0.1])
def test_a_killed_writer_leaves_a_whole_file(tmp_path, pause):
    target = tmp_path / "frame.parquet"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE, text=True
    ) as writer:
        while writer.stdout.readline().strip() != "3":
            pass
        time.sleep(pause)  # somewhere in the third file
        writer.send_signal(signal.SIGKILL)
    left = [path.name for path in tmp_path.iterdir() if path != target]
    assert all(name.startswith(".frame.parquet.") and name.endswith(".tmp") for name in left)
    frame = pd.read_parquet(target)
    assert len(frame) == 2_000_000
    assert frame["version"].nunique() == 1
