import getpass
import re
import sys
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import dagster as dg
import mlflow
import pandas as pd
import pytest
from platform_client import wait_for

from dagma.defs.models.assets import train_model_stub
from dagma.kit.tracking import mlflow as tracking
from dagma.kit.tracking import origin, resources
from dagma.kit.tracking.mlflow import MlflowResource, MlflowStubResource, MlflowTrackingResource
from dagma.stack.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs/models.md").read_text()
VARIABLES = ("MLFLOW_USE_TRACKING", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT")
#: What MLflow's own store warns of when it is opened in this process is not ours to mend.
of_mlflow = pytest.mark.filterwarnings("default")
#: Nothing listens on this port, which is reserved.
CLOSED = "http://127.0.0.1:1"


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def clean(monkeypatch):
    for name in (*VARIABLES, "DAGMA_MLFLOW_UNREACHABLE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def materialize(instance, mlflow, asset=train_model_stub):
    return dg.materialize(
        [asset],
        instance=instance,
        resources={"mlflow": mlflow, "io_manager": dg.FilesystemIOManager()},
        raise_on_error=False,
    )


def failure(result):
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data.description


def messages(instance, result):
    return [entry.user_message for entry in instance.all_logs(result.run_id)]


@pytest.mark.parametrize("value", ["1", "true", "yes", "on", "True", "YES"])
def test_tracking_is_chosen_by_the_setting(clean, value):
    clean.setenv("MLFLOW_USE_TRACKING", value)
    clean.setenv("MLFLOW_TRACKING_URI", "http://m:1")
    assert isinstance(resources.chosen(), MlflowTrackingResource)


@pytest.mark.parametrize("value", ["", "0", "false", "no", "off"])
def test_without_it_is_the_stub(clean, value):
    clean.setenv("MLFLOW_USE_TRACKING", value)
    assert isinstance(resources.chosen(), MlflowStubResource)


def test_the_environment_overrides_the_defaults(clean):
    clean.setenv("MLFLOW_USE_TRACKING", "1")
    assert resources.chosen().experiment == Settings().mlflow_experiment
    assert resources.chosen().unreachable == Settings().mlflow_unreachable
    clean.setenv("MLFLOW_TRACKING_URI", "http://m:1")
    clean.setenv("MLFLOW_EXPERIMENT", "ours")
    clean.setenv("DAGMA_MLFLOW_UNREACHABLE", "fail")
    with resources.chosen().process_config_and_initialize_cm() as chosen:
        found = (chosen.tracking_uri, chosen.experiment, chosen.unreachable)
    assert found == ("http://m:1", "ours", "fail")


def test_with_the_stub_the_asset_says_that_nothing_is_tracked(instance):
    result = materialize(instance, MlflowStubResource())
    assert result.output_for_node("train_model_stub") == {
        "run_id": f"stub-{result.run_id}",
        "status": "FINISHED",
        "artifact": "train_summary.txt",
    }
    (event,) = result.asset_materializations_for_node("train_model_stub")
    assert event.metadata["mlflow_run"].value == "not tracked"


def test_a_server_that_does_not_answer_is_a_warning_and_the_stub(instance):
    result = materialize(instance, MlflowTrackingResource(tracking_uri=CLOSED))
    assert result.output_for_node("train_model_stub")["run_id"] == f"stub-{result.run_id}"
    (said,) = [m for m in messages(instance, result) if "does not answer" in m]
    assert said.startswith(f"MLflow does not answer at {CLOSED} (MLFLOW_TRACKING_URI): ")
    assert f"{CLOSED}/health failed" in said  # asked once, before MLflow's client tries for minutes
    assert "goes on without tracking" in said


def test_a_server_that_does_not_answer_is_a_failure_when_the_setting_says_so(instance):
    mlflow = MlflowTrackingResource(tracking_uri=CLOSED, unreachable="fail")
    said = failure(materialize(instance, mlflow))
    assert said.startswith(f"MLflow does not answer at {CLOSED} (MLFLOW_TRACKING_URI): ")
    assert "DAGMA_MLFLOW_UNREACHABLE=stub" in said


def test_a_password_in_the_address_is_not_shown(instance):
    mlflow = MlflowTrackingResource(tracking_uri="http://me:secret@127.0.0.1:1", unreachable="fail")
    result = materialize(instance, mlflow)
    assert "at http://127.0.0.1:1 " in failure(result)
    assert "secret" not in failure(result)


def test_a_missing_address_says_what_to_set(instance):
    said = failure(materialize(instance, MlflowTrackingResource()))
    assert "MLFLOW_TRACKING_URI is not: set it" in said


def test_a_missing_client_says_what_to_install(instance, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    said = failure(materialize(instance, MlflowTrackingResource(tracking_uri=CLOSED)))
    assert "install mlflow-skinny, or unset MLFLOW_USE_TRACKING" in said


class Proxy(BaseHTTPRequestHandler):
    """A proxy in front of a server that is down."""

    def do_GET(self):
        self.send_response(503)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def test_a_proxy_before_a_stopped_server_counts_as_no_answer(instance):
    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        result = materialize(instance, MlflowTrackingResource(tracking_uri=uri))
        server.shutdown()
    assert result.success
    assert any("goes on without tracking" in m for m in messages(instance, result))


class Recorder(MlflowStubResource):
    """A stub that remembers how its runs ended."""

    def close_run(self, status="FINISHED"):
        ENDS.append(status)
        return status


ENDS: list[str] = []


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "FAILED"), (dg.DagsterExecutionInterruptedError, "KILLED"), (None, "FINISHED")],
)
def test_the_run_ends_as_the_asset_does(instance, error, status):
    @dg.asset
    def training(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> None:
        with mlflow.run(context):
            if error:
                raise error

    ENDS.clear()
    try:
        materialize(instance, Recorder(), training)
    except dg.DagsterExecutionInterruptedError:
        assert status == "KILLED"
    assert [status] == ENDS


def test_a_call_without_a_run_says_what_to_call_first():
    mlflow = MlflowTrackingResource(tracking_uri="http://127.0.0.1:1")
    with pytest.raises(dg.DagsterInvariantViolationError, match="call start_run first"):
        mlflow.log_param("a", 1)


def test_the_example_of_the_page_works(instance):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(compile(example, "docs/models.md", "exec", dont_inherit=True), names)
    assert materialize(instance, MlflowStubResource(), names["my_model"]).success


@pytest.mark.parametrize(
    "uri", ["file:///data/mlruns", "file:data/mlruns", "/data/mlruns", "mlruns"]
)
def test_a_directory_as_store_is_refused_with_the_address_to_take(instance, uri):
    said = failure(materialize(instance, MlflowTrackingResource(tracking_uri=uri)))
    assert said.startswith(f"MLFLOW_TRACKING_URI is {uri}, and MLflow keeps no runs in directories")
    assert re.search(r"set it to sqlite:////.*/mlruns/mlflow\.db, or to a server", said)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    """The address of a store in a file: what there is of MLflow without a server."""
    folder = tmp_path_factory.mktemp("sqlite")
    uri = f"sqlite:///{folder}/mlflow.db"
    yield uri
    with warnings.catch_warnings(action="ignore"):
        mlflow.MlflowClient(uri)._tracking_client.store.engine.dispose()


@pytest.fixture
def tracked(sqlite, tmp_path, monkeypatch):
    """Materialize an asset on that store; Dagster's run, MLflow's run and the client."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGMA_PUBLIC_URL", "https://dagster.example/")
    (tmp_path / "i").mkdir()

    def tracked(asset):
        with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "i")) as instance:
            result = materialize(instance, MlflowTrackingResource(tracking_uri=sqlite), asset)
        client = mlflow.MlflowClient(sqlite)
        experiment = client.get_experiment_by_name("dagma").experiment_id
        [run] = client.search_runs([experiment], f"tags.`dagster.run_id` = '{result.run_id}'")
        return result, run, client

    return tracked


@of_mlflow
def test_a_file_as_store_has_no_page_and_leaves_nothing_elsewhere(tracked, sqlite, tmp_path):
    result, run, _ = tracked(train_model_stub)
    (event,) = result.asset_materializations_for_node("train_model_stub")
    assert event.metadata["mlflow_run"].value == f"{run.info.run_id} in {sqlite}"
    assert [path.name for path in tmp_path.iterdir()] == ["i"]
    folder = Path(sqlite.removeprefix("sqlite:///")).parent
    assert list(folder.glob("artifacts/*/artifacts/train_summary.txt"))


@of_mlflow
def test_a_run_leads_back_to_dagster_the_code_and_the_user(tracked, monkeypatch):
    monkeypatch.setenv("GIT_COMMIT", "0123abc")
    result, run, _ = tracked(train_model_stub)
    url = f"https://dagster.example/runs/{result.run_id}"
    assert run.data.tags["dagster.url"] == url
    assert f"[Run in Dagster]({url})" in run.data.tags["mlflow.note.content"]
    assert run.data.tags["mlflow.user"] == getpass.getuser()
    assert re.fullmatch(r"[0-9a-f]{40}|0123abc", run.data.tags["mlflow.source.git.commit"])


def test_the_user_is_whom_dagster_names(instance):
    assert origin.user(dg.DagsterRun("x", tags={"user": "ada"})) == "ada"


def test_without_a_checkout_the_commit_is_that_of_the_image(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert origin.commit(tmp_path) == ""
    monkeypatch.setenv("GIT_COMMIT", "0123abc")
    assert (origin.commit(tmp_path), origin.commit(None)) == ("0123abc", "0123abc")


def test_the_commit_of_code_that_nix_built_is_that_of_its_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("DAGMA_REVISION", "4567def-dirty")
    assert origin.commit(Path("/nix/store/of-the-example/dagma/defs")) == "4567def-dirty"
    assert origin.commit(tmp_path) == ""


@of_mlflow
def test_system_metrics_are_logged_while_a_run_is_open(tracked, monkeypatch):
    monkeypatch.setattr(tracking, "SAMPLE_SECONDS", 0.1)

    @dg.asset
    def slow(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> None:
        with mlflow.run(context) as run:
            client = mlflow._client
            wait_for(lambda: client.get_run(run.id).data.metrics, 60, "system metrics")

    result, run, _ = tracked(slow)
    assert result.success
    assert "system/cpu_utilization_percentage" in run.data.metrics


@of_mlflow
def test_parameters_and_datasets_are_searchable(tracked):
    @dg.asset
    def training(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> None:
        with mlflow.run(context):
            mlflow.log_params({"depth": 3, "rate": 0.5})
            mlflow.log_dataset(pd.DataFrame({"a": [1]}), "rows", "asset rows")

    _, run, client = tracked(training)
    found = client.search_runs(
        [run.info.experiment_id], "params.depth = '3' AND dataset.name = 'rows'"
    )
    assert [one.info.run_id for one in found] == [run.info.run_id]
    [dataset] = run.inputs.dataset_inputs
    assert (dataset.dataset.source, dataset.tags[0].value) == ("asset rows", "training")
