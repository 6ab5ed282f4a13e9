import dagster as dg
import pytest

from dagma.definitions import defs
from dagma.defs.schedules.clock import nightly
from dagma.defs.schedules.nightly import nightly_retraining, retraining
from dagma.errors import SettingsError
from dagma.kit import clock
from dagma.stack import settings


def test_the_defaults_are_those_of_the_settings(monkeypatch):
    monkeypatch.delenv("DAGMA_TIMEZONE", raising=False)
    monkeypatch.delenv("DAGMA_NIGHTLY_AT", raising=False)
    monkeypatch.delenv("DAGMA_SENSOR_INTERVAL", raising=False)
    table = settings.table()
    assert clock.zone() == table["DAGMA_TIMEZONE"].default
    assert table["DAGMA_SENSOR_INTERVAL"].default == clock.sensor_interval()
    assert table["DAGMA_NIGHTLY_AT"].default == "03:00"
    assert nightly() == "0 3 * * *"


def test_time_and_zone_come_from_the_settings(monkeypatch):
    monkeypatch.setenv("DAGMA_TIMEZONE", "Asia/Shanghai")
    monkeypatch.setenv("DAGMA_NIGHTLY_AT", "23:05")
    assert (clock.zone(), nightly()) == ("Asia/Shanghai", "5 23 * * *")


@pytest.mark.parametrize("wrong", ["25:00", "3", "03:60", "3pm"])
def test_a_wrong_time_is_a_sentence(monkeypatch, wrong):
    monkeypatch.setenv("DAGMA_NIGHTLY_AT", wrong)
    said = (
        r"^DAGMA_NIGHTLY_AT is .* in the environment, but it must be a time from 00:00 to 23:59\.$"
    )
    with pytest.raises(SettingsError, match=said):
        nightly()


def test_a_wrong_interval_is_a_sentence(monkeypatch):
    monkeypatch.setenv("DAGMA_SENSOR_INTERVAL", "often")
    with pytest.raises(SettingsError, match=r"^DAGMA_SENSOR_INTERVAL is 'often' .* whole number"):
        clock.sensor_interval()


def test_the_nightly_retraining_is_on_by_itself_with_an_explicit_zone():
    assert nightly_retraining.default_status == dg.DefaultScheduleStatus.RUNNING
    assert nightly_retraining.execution_timezone == "UTC"


def test_it_takes_the_corpus_and_all_that_is_made_of_it():
    graph = defs().get_repository_def().asset_graph
    selected = retraining.selection.resolve(graph)
    assert dg.AssetKey("normalized_recipes") in selected
    assert dg.AssetKey("source_recipes") not in selected
    assert selected == dg.AssetSelection.assets("raw_recipes").downstream().resolve(graph)


def test_the_model_and_its_vectors_take_part():
    selected = retraining.selection.resolve(defs().resolve_asset_graph())
    assert {
        dg.AssetKey("ingredient_embedding_model"),
        dg.AssetKey("ingredient_vectors"),
    } <= selected
