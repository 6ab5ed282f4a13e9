import os
import pickle

import dagster as dg
import pandas as pd
import pytest

from dagma.kit.closed import closed
from dagma.kit.io.files import files, pickles


class Planted:
    """Code that runs when its pickle is loaded."""

    def __init__(self, sign):
        self.sign = sign

    def __reduce__(self):
        return os.mkdir, (str(self.sign),)


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


def stored(instance, value, manager=files, config=None):
    """What a second asset reads of a value that a first one returned."""
    read = []

    @dg.asset
    def given():
        return value

    @dg.asset
    def taken(given) -> None:
        read.append(given)

    for asset in (given, taken):
        dg.materialize(
            [given, taken],
            selection=[asset],
            instance=instance,
            resources={"io_manager": manager},
            run_config=config,
        )
    return read[0]


@pytest.mark.parametrize(
    "value", [55, 1.5, "é", None, True, [1, [2]], {"a": {"b": [None]}}, {"x\u2028": "😀"}]
)
def test_what_json_can_say_is_read_back(instance, tmp_path, value):
    assert stored(instance, value) == value
    assert (tmp_path / "storage/given.json").is_file()


def test_a_table_is_parquet(instance, tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    pd.testing.assert_frame_equal(stored(instance, frame), frame)
    assert (tmp_path / "storage/given.parquet").is_file()


def test_of_two_kinds_the_newer_value_is_read(instance, tmp_path):
    frame = pd.DataFrame({"a": [1]})
    assert stored(instance, [1]) == [1]
    pd.testing.assert_frame_equal(stored(instance, frame), frame)
    assert stored(instance, [2]) == [2]
    assert [path.name for path in (tmp_path / "storage").glob("given*")] == ["given.json"]


@pytest.mark.parametrize(
    "value", [(1, 2), {1: "a"}, {1, 2}, object(), b"x", float("nan"), [object()]]
)
def test_what_would_not_come_back_as_it_was_is_refused(instance, tmp_path, value):
    with pytest.raises(TypeError, match="parts that JSON cannot give back: return a DataFrame or"):
        stored(instance, value)
    assert not list((tmp_path / "storage").glob("*given*"))


def test_a_pickle_in_its_place_is_not_loaded(instance, tmp_path):
    stored(instance, 1)
    planted = pickle.dumps(Planted(tmp_path / "sign"))
    for name in ("given", "given.json", "given.parquet", "given.pickle"):
        (tmp_path / "storage" / name).write_bytes(planted)

    @dg.asset
    def taken(given) -> None: ...

    with pytest.raises(ValueError, match=r"utf-8|JSON|decode"):
        dg.materialize(
            [dg.AssetSpec("given"), taken], instance=instance, resources={"io_manager": files}
        )
    assert not (tmp_path / "sign").exists()


def test_what_was_never_stored_is_a_sentence(instance):
    @dg.asset
    def taken(given) -> None: ...

    with pytest.raises(FileNotFoundError, match="materialize given first"):
        dg.materialize(
            [dg.AssetSpec("given"), taken], instance=instance, resources={"io_manager": files}
        )


@pytest.mark.parametrize("partition", ["a", "a/b", "..", "../../up"])
def test_a_partition_is_read_back_and_stays_below(instance, tmp_path, partition):
    parts = dg.StaticPartitionsDefinition([partition])
    read = []

    @dg.asset(partitions_def=parts)
    def given():
        return [1]

    @dg.asset(partitions_def=parts)
    def taken(given) -> None:
        read.append(given)

    for manager in (files, pickles):
        for asset in (given, taken):
            dg.materialize(
                [given, taken],
                selection=[asset],
                instance=instance,
                partition_key=partition,
                resources={"io_manager": manager},
            )
    assert read == [[1], [1]]
    below = [path for path in (tmp_path / "storage/given").rglob("*") if path.is_file()]
    assert len(below) == 2
    assert not [path for path in (tmp_path, tmp_path / "storage") if list(path.glob("up*"))]


def test_pickles_take_any_object(instance, tmp_path):
    assert stored(instance, (1, {2}), pickles) == (1, {2})
    assert (tmp_path / "storage/given").is_file()


@pytest.mark.parametrize("manager", [files, pickles])
def test_run_config_cannot_move_them(instance, tmp_path, manager):
    config = {"resources": {"io_manager": {"config": {"base_dir": str(tmp_path / "planted")}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match="unexpected config entry"):
        stored(instance, 1, manager, config)


class Reader(dg.ConfigurableResource):
    path: str = "inner"
    count: int = 3


def test_a_closed_resource_has_its_own_settings_and_refuses_others(monkeypatch):
    monkeypatch.setenv("PLACE", "/from/environment")
    seen = []

    @dg.op
    def look(reader: Reader):
        seen.append((reader.path, reader.count))

    @dg.job(resource_defs=closed({"reader": Reader(path=dg.EnvVar("PLACE"))}))
    def looking():
        look()

    assert looking.execute_in_process().success
    assert seen == [("/from/environment", 3)]
    config = {"resources": {"reader": {"config": {"path": "/etc"}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match='unexpected config entry "path"'):
        looking.execute_in_process(run_config=config)


def test_no_resource_of_the_example_takes_anything_from_run_config():
    from dagma.definitions import defs

    repository = defs().get_repository_def()
    found = {
        name: definition
        for job in repository.get_all_jobs()
        for name, definition in job.resource_defs.items()
    }
    assert {"io_manager", "qdrant", "mlflow", "inbox", "recipes_source"} <= set(found)
    takes = [
        name
        for name, one in found.items()
        if getattr(one.config_schema.config_type, "fields", {"?": 1})
    ]
    assert takes == []
