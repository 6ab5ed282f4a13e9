"""What is kept on an MLflow server beside numbers: datasets and models."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dagma.kit.frame import DataFrame

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["log_dataset", "register"]


def log_dataset(client: "MlflowClient", run: str, frame: DataFrame, name: str, source: str) -> None:
    """Note what a run was trained on: name, digest and columns, not the rows.

    Args:
        client: Of the server.
        run: Id of the MLflow run.
        frame: The table.
        name: Its name.
        source: Where it is, such as the key of an asset.
    """
    import mlflow.data
    from mlflow.entities import Dataset, DatasetInput, InputTag

    with warnings.catch_warnings():  # whole numbers without a missing value are meant
        warnings.simplefilter("ignore", UserWarning)
        made = mlflow.data.from_pandas(frame, name=name).to_dict()  # type: ignore[attr-defined]
    noted = made | {"source_type": "dagster", "source": source}
    use = InputTag(key="mlflow.data.context", value="training")
    client.log_inputs(run, [DatasetInput(Dataset(**noted), [use])])


def register(client: "MlflowClient", run: str, folder: Path, name: str) -> str:
    """Upload a model and register it.

    Args:
        client: Of the server.
        run: Id of the MLflow run that made it.
        folder: What `save_model` of one of MLflow's flavors wrote.
        name: Of the logged and of the registered model.

    Returns:
        The registered model's new version.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    experiment = client.get_run(run).info.experiment_id
    model = client.create_logged_model(experiment, name, source_run_id=run)
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # As `models:/ID` the client would look the model up at the process's default server.
    source, id_ = model.artifact_location, model.model_id
    return str(client.create_model_version(name, source, run, model_id=id_).version)
