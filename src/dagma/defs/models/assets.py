"""The smallest training that is tracked."""

import tempfile
from pathlib import Path

import dagster as dg

from dagma.kit.tracking.mlflow import MlflowResource

GROUP = "models"
N_ESTIMATORS = 10
RMSE = 0.123


@dg.asset(group_name=GROUP, kinds={"python", "mlflow"})
def train_model_stub(
    context: dg.AssetExecutionContext, mlflow: MlflowResource
) -> dg.Output[dict[str, str]]:
    """A parameter, a metric and an artifact in MLflow: `run_id`, `status` and `artifact`."""
    with mlflow.run(context) as run, tempfile.TemporaryDirectory() as folder:
        mlflow.log_param("n_estimators", N_ESTIMATORS)
        mlflow.log_metric("rmse", RMSE)
        summary = Path(folder, "train_summary.txt")
        summary.write_text(f"n_estimators={N_ESTIMATORS}\nrmse={RMSE}\n")
        mlflow.log_artifact(summary)
    result = {"run_id": run.id, "status": run.status, "artifact": summary.name}
    return dg.Output(result, metadata={**result, **run.metadata})
