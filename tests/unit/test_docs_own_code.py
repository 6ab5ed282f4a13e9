import importlib
import re
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.autodiscovery import loadable_targets_from_loaded_module

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/own-code.md").read_text()


@pytest.fixture
def my_platform(tmp_path, monkeypatch):
    """The module of the page, in an environment without a stack."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "my_platform.py").write_text(code)
    for name in ("MLFLOW_USE_TRACKING", "DAGMA_ANALYTICS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_platform")
    del sys.modules["my_platform"]


def test_dagster_finds_the_definitions_of_the_page(my_platform):
    (target,) = loadable_targets_from_loaded_module(my_platform)
    assert target.attribute == "defs"


def test_the_module_of_the_page_works(my_platform, tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        job = my_platform.defs.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance)
    assert result.output_for_node("mean_price") == 2.75
    assert my_platform.defs.resolve_schedule_def("daily").job_name


def test_the_page_is_under_two_screens():
    assert len(PAGE.splitlines()) < 100
