import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import dagster as dg
import pytest

import dagma.kit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/kit.md").read_text()
#: What teams import; a name that goes, or comes, is a line here and one in CHANGELOG.md.
PUBLIC = {
    "clock": {"sensor_interval", "zone"},
    "closed": {"closed"},
    "frame": {"DataFrame"},
    "io.files": {"Files", "files", "pickles"},
    "io.parquet": {"ParquetFiles", "ParquetIOManager", "write_atomically"},
    "io.postgres": {"PARTITION_EXPR", "URL_VARIABLE", "PostgresIOManager", "required_url"},
    "io.resources": {"resources"},
    "notifications.message": {"Message"},
    "notifications.resources": {"default_status", "resources"},
    "notifications.schedules": {"watch_schedules"},
    "notifications.sensors": {"TAG", "notify_failure", "notify_success", "tell"},
    "notifications.webhook": {"Webhook", "WebhookError"},
    "pipeline": {"Pipeline", "PipelineModel", "Step"},
    "preview": {"frame_metadata", "markdown_table"},
    "run_config": {"WrongParam", "dagster_type", "fields"},
    "run_errors": {"failed_checks", "reason"},
    "settings": {"from_environment", "given", "setting"},
    "tracking.mlflow": {
        *("MlflowResource", "MlflowStubResource", "MlflowTrackingResource"),
        *("Status", "TrackedRun"),
    },
    "tracking.origin": {"commit", "tags", "user"},
    "tracking.resources": {"chosen", "resources"},
    "tracking.store": {"log_dataset", "register"},
    "vectors.qdrant": {"KEY", "QdrantResource"},
    "vectors.resources": {"resources"},
}
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def modules():
    for found in pkgutil.walk_packages(dagma.kit.__path__, "dagma.kit."):
        if not found.ispkg:
            yield found.name.removeprefix("dagma.kit."), importlib.import_module(found.name)


def test_the_public_names_are_these():
    found = {name: set(module.__all__) for name, module in modules()}
    assert found == PUBLIC


def test_each_is_there_and_says_what_it_is_for():
    for _, module in modules():
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                assert inspect.getdoc(value), name


def test_the_kit_is_imported_without_what_its_extras_bring():
    names = ", ".join(f"dagma.kit.{name}" for name in PUBLIC)
    heavy = "{'pandas', 'numpy', 'mlflow', 'pyarrow', 'qdrant_client', 'requests'}"
    code = f"import sys, {names}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_page_names_every_module_that_is_for_teams():
    internal = {"run_config", "tracking.origin", "tracking.store", "frame"}
    named = set(re.findall(r"`dagma\.kit\.([\w.]+)`", PAGE))
    named |= set(re.findall(r"^from dagma\.kit\.([\w.]+) import", PAGE, re.MULTILINE))
    named |= {
        f"{package}.{name.partition(' ')[0]}"
        for package, name in re.findall(r"^from dagma\.kit\.(\w+) import (\w+)", PAGE, re.MULTILINE)
    }
    assert {name for name in PUBLIC if name not in named} == internal


def test_what_the_page_names_is_there():
    named = set(re.findall(r"`(dagma\.kit\.[\w.]+)`", PAGE))
    found = {name: importlib.import_module(name) for name in named}
    resources = [module.resources() for name, module in found.items() if "resources" in name]
    assert [type(one) for one in resources] == [dg.Definitions] * 4
    sensors = found["dagma.kit.notifications.sensors"]
    names = set(re.findall(r"`(notify_\w+)`", PAGE))
    assert [type(getattr(sensors, name)) for name in names] == [dg.RunStatusSensorDefinition] * 2
    assert found["dagma.kit.pipeline"].Pipeline.from_file


@pytest.fixture
def example(request, tmp_path, monkeypatch):
    """An example of the page as a module, where there are no services."""
    for name in ("MLFLOW_USE_TRACKING", "QDRANT_URL", "DAGMA_WEBHOOK_URL", "TEAS_PER_POT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QDRANT_PATH", str(tmp_path / "qdrant"))
    (tmp_path / "pots.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    (tmp_path / "teas.py").write_text("def brew(cups: int) -> int:\n    return cups * 2\n")
    (tmp_path / "the_example.py").write_text(request.param)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("the_example")
    for name in ("the_example", "teas"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("example", EXAMPLES, indirect=True)
def test_an_example_of_the_page_works(example, tmp_path):
    dg.Definitions.validate_loadable(example.defs)
    job = example.defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        assert job.execute_in_process(instance=instance).success


def test_there_are_examples():
    assert len(EXAMPLES) == 4


def test_the_page_names_the_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    table = re.findall(r"^\| .* \| `(\w+)` \|$", PAGE, re.MULTILINE)
    assert sorted(set(table)) == sorted(project["optional-dependencies"])
