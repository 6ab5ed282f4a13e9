"""From the corpus to neighbours in Qdrant and dbt's models, tracked in MLflow; and without MLflow."""

import gc
import json
import signal
import subprocess
import sys

import dagster as dg
import pytest
from platform_client import CORPUS_TO_VECTORS_AND_MODELS

from dagma.defs.vectors.collection import ALIAS, point_id
from dagma.kit.tracking.mlflow import MlflowResource, MlflowTrackingResource
from dagma.kit.vectors.qdrant import QdrantResource

#: Of recipes, the embedding and dbt.
CHECKS = 6 + 1 + 7
#: The embedded engine leaves SQLite connections to the garbage collector.
leaves_connections = pytest.mark.filterwarnings(
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)


def logged(stack, run_id):
    return " ".join(
        e for (e,) in stack.rows("SELECT event FROM event_logs WHERE run_id = %s", run_id)
    )


def tracked(stack, run_id):
    """MLflow's run of a Dagster run."""
    body = {"experiment_ids": experiments(stack), "filter": f"tags.`dagster.run_id` = '{run_id}'"}
    answer = json.loads(stack.web("MLFLOW_PORT", "/api/2.0/mlflow/runs/search", body))
    (run,) = answer["runs"]
    return run


def experiments(stack):
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=dagma"
    experiment = json.loads(stack.web("MLFLOW_PORT", path))["experiment"]
    return [experiment["experiment_id"]]


def artifacts(stack, run):
    path = f"/api/2.0/mlflow/artifacts/list?run_id={run['info']['run_id']}"
    return [file["path"] for file in json.loads(stack.web("MLFLOW_PORT", path))["files"]]


def test_one_launch_materializes_everything_and_every_check_passes(stack, whole_run):
    materialized = stack.rows(
        "SELECT asset_key FROM event_logs"
        " WHERE run_id = %s AND dagster_event_type = 'ASSET_MATERIALIZATION'",
        whole_run,
    )
    assert sorted(key for (key,) in materialized) == sorted(
        f'["{name}"]' for name in CORPUS_TO_VECTORS_AND_MODELS
    )
    assert stack.check_results(whole_run) == [True] * CHECKS


def test_mlflow_shows_the_run_and_each_leads_to_the_other(stack, whole_run):
    run = tracked(stack, whole_run)
    assert run["info"]["status"] == "FINISHED"
    assert run["info"]["run_name"] == "ingredient_embedding_model"
    assert artifacts(stack, run) == ["ingredient_vectors.parquet"]
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    assert (params["epochs"], params["recipes"]) == ("60", "62")
    metrics = {metric["key"]: metric for metric in run["data"]["metrics"]}
    assert metrics["loss"]["step"] == 60
    assert metrics["held_out_mrr"]["value"] > metrics["held_out_popularity_mrr"]["value"]
    experiment, run_id = run["info"]["experiment_id"], run["info"]["run_id"]
    server = f"http://127.0.0.1:{stack.ports['MLFLOW_PORT']}"
    assert (
        f"{server}/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"
        in logged(stack, whole_run)
    )


@leaves_connections
def test_the_embedded_engine_answers_a_neighbour_query(stack, whole_run):
    path = stack.home / "qdrant/embedded"
    with QdrantResource(path=str(path)).connect() as client:
        found = client.query_points(ALIAS, query=point_id("garlic"), limit=3).points
    assert len(found) == 3
    assert "garlic" not in {point.payload["ingredient"] for point in found}
    gc.collect()


@pytest.fixture
def without_mlflow(stack):
    environ = stack.environ() | stack.exports()

    def process(action):
        command = ["process-compose", "process", action, "mlflow", "-U"]
        subprocess.run(command, env=environ, check=True, capture_output=True)

    process("stop")
    yield
    process("start")
    stack.wait_healthy("mlflow", 120)


FAILS = """
import sys
import dagster as dg
from dagma.kit.io.files import files
from dagma.defs.models.assets import train_model_stub
from dagma.kit.tracking.mlflow import MlflowTrackingResource

mlflow = MlflowTrackingResource(tracking_uri=sys.argv[1], unreachable="fail")
with dg.DagsterInstance.ephemeral() as instance:
    done = dg.materialize(
        [train_model_stub],
        instance=instance,
        resources={"mlflow": mlflow, "io_manager": files},
        raise_on_error=False,
    )
print("success:", done.success)
"""


def test_with_mlflow_stopped_assets_warn_and_go_on_or_fail_as_set(stack, without_mlflow):
    uri = f"http://127.0.0.1:{stack.ports['MLFLOW_PORT']}"
    address = f"MLflow does not answer at {uri} (MLFLOW_TRACKING_URI)"
    goes_on = stack.launch_assets(["train_model_stub"])
    stack.wait_for_success(goes_on)
    assert address in logged(stack, goes_on)
    assert "goes on without tracking" in logged(stack, goes_on)
    failing = [sys.executable, "-W", "ignore", "-c", FAILS, uri]
    environ = stack.environ() | stack.exports()
    done = subprocess.run(failing, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "success: False"
    assert address in done.stderr


DIES = """
import os, signal, sys
import dagster as dg
from dagma.kit.tracking.mlflow import MlflowResource, MlflowTrackingResource

@dg.asset
def training(context: dg.AssetExecutionContext, mlflow: MlflowResource):
    mlflow.start_run(context)
    print(context.run.run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

instance = dg.DagsterInstance.local_temp(sys.argv[1])
mlflow = MlflowTrackingResource(tracking_uri=sys.argv[2], unreachable="fail")
dg.materialize([training], instance=instance, resources={"mlflow": mlflow})
"""


def test_a_failed_run_is_failed_in_mlflow_and_an_abandoned_one_is_closed(
    stack, tmp_path, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    uri = f"http://127.0.0.1:{stack.ports['MLFLOW_PORT']}"
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path), uri], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    abandoned = done.stdout.strip()
    assert tracked(stack, abandoned)["info"]["status"] == "RUNNING"

    @dg.asset
    def training(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> None:
        mlflow.start_run(context)
        mlflow.log_param("a", 1)
        raise ValueError("no")

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.report_run_failed(instance.get_run_by_id(abandoned))
        result = dg.materialize(
            [training],
            instance=instance,
            resources={"mlflow": MlflowTrackingResource(tracking_uri=uri, unreachable="fail")},
            raise_on_error=False,
        )
    assert tracked(stack, result.run_id)["info"]["status"] == "FAILED"
    assert tracked(stack, abandoned)["info"]["status"] == "KILLED"
