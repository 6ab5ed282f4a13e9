"""What of pruning needs no PostgreSQL; tests/stack/test_prune.py has the rest."""

from importlib import resources

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, PIPELINE_EVENTS
from dagster._core.scheduler.instigation import TickStatus

from dagma.errors import DagmaError
from dagma.stack import environment, settings
from dagma.stack.upkeep import prune

KEEP = {"SKIPPED": "2", "FAILED": "3"}


@pytest.fixture
def instance(tmp_path):
    """An instance with SQLite whose class and ticks are those of dagster.yaml."""
    whole = yaml.safe_load((resources.files("dagma.instance") / "dagster.yaml").read_text())
    part = {name: whole[name] for name in ("instance_class", "tick_retention_days", "telemetry")}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(part))
    with dg.DagsterInstance.from_config(str(tmp_path)) as one:
        yield one


@pytest.mark.parametrize("kind", InstigatorType)
def test_the_daemon_removes_ticks_as_the_settings_say(instance, tmp_path, monkeypatch, kind):
    values = {f"DAGMA_KEEP_TICKS_{name}_DAYS": days for name, days in KEEP.items()}
    loaded = settings.load(values | {"DAGMA_HOME": str(tmp_path / "h")})
    for name, value in environment.exports(loaded, [], {}).items():
        monkeypatch.setenv(name, value)
    days = instance.get_tick_retention_settings(kind)
    assert days[TickStatus.SKIPPED] == 2
    assert days[TickStatus.FAILURE] == 3
    assert days[TickStatus.SUCCESS] == 90
    assert days[TickStatus.STARTED] == -1


def test_nothing_of_an_asset_nor_the_end_of_a_run_is_dispensable():
    assert not prune.DISPENSABLE & (ASSET_EVENTS | ASSET_CHECK_EVENTS | PIPELINE_EVENTS)


def test_another_storage_than_postgresql_is_left_alone(instance, tmp_path):
    chosen = settings.load({"DAGMA_HOME": str(tmp_path), "DAGMA_KEEP_RUNS_DAYS": "1"}).settings
    with pytest.raises(DagmaError, match="not PostgreSQL"):
        prune.Pruning(instance, chosen, dry_run=False)
