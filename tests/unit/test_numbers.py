import pickle

import dagster as dg
import pytest

from dagma.definitions import defs
from dagma.defs.numbers.assets import raw_numbers, sum_numbers, viz_ready_data

ASSETS = [raw_numbers, sum_numbers, viz_ready_data]


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


def run(instance, assets=ASSETS, config=None, **kwargs):
    ops = {"ops": {"raw_numbers": {"config": config}}} if config else None
    return dg.materialize(
        assets,
        instance=instance,
        resources={"io_manager": dg.FilesystemIOManager()},
        run_config=ops,
        **kwargs,
    )


def test_the_sum_of_one_to_ten(instance):
    assert run(instance).output_for_node("sum_numbers") == 55


def test_the_count_is_configurable(instance):
    result = run(instance, config={"count": 4})
    assert result.output_for_node("raw_numbers") == [1, 2, 3, 4]


def test_a_count_below_one_is_refused(instance):
    with pytest.raises(Exception, match="greater than or equal to 1"):
        run(instance, config={"count": 0})


def test_the_chart_has_a_value_per_label(instance):
    data = run(instance).output_for_node("viz_ready_data")
    assert data == {"labels": ["sum"], "values": [55]}


def test_the_chart_has_a_preview(instance):
    event = run(instance).asset_materializations_for_node("viz_ready_data")[0]
    assert event.metadata["preview"].value.splitlines()[-1] == "| sum | 55 |"


def test_outputs_lie_below_the_storage_directory(instance, tmp_path):
    run(instance)
    for asset in ASSETS:
        assert (tmp_path / "storage" / asset.key.to_user_string()).is_file()


def test_an_asset_reads_what_an_earlier_run_wrote(instance, tmp_path):
    run(instance, [raw_numbers, sum_numbers])
    (tmp_path / "storage" / "sum_numbers").write_bytes(pickle.dumps(7))
    result = run(instance, selection=[viz_ready_data])
    assert result.output_for_node("viz_ready_data")["values"] == [7]


def test_the_job_of_the_code_location_writes_below_its_instance(instance, tmp_path):
    job = defs().resolve_job_def("numbers")
    assert job.execute_in_process(instance=instance).success
    assert (tmp_path / "storage" / "viz_ready_data.json").is_file()
