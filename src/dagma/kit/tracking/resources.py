"""Which tracking the assets get: MLFLOW_USE_TRACKING decides."""

import dagster as dg

from dagma import values
from dagma.kit.closed import closed
from dagma.kit.settings import from_environment, setting
from dagma.kit.tracking.mlflow import (
    EXPERIMENT,
    MlflowResource,
    MlflowStubResource,
    MlflowTrackingResource,
)

__all__ = ["chosen", "resources"]


@dg.definitions
def resources() -> dg.Definitions:
    """Bind `mlflow` by the environment."""
    return dg.Definitions(resources=closed({"mlflow": chosen()}))


def chosen() -> MlflowResource:
    """The server when MLFLOW_USE_TRACKING is true; the stub otherwise."""
    if not setting("MLFLOW_USE_TRACKING", values.Flag, default=False):
        return MlflowStubResource()
    return MlflowTrackingResource.model_validate(
        {
            "tracking_uri": from_environment("MLFLOW_TRACKING_URI", values.Text),
            "experiment": from_environment("MLFLOW_EXPERIMENT", values.Text, EXPERIMENT),
            "unreachable": setting("DAGMA_MLFLOW_UNREACHABLE", values.Unreachable, "stub"),
        }
    )
