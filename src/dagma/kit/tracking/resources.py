"""Which tracking the assets get: MLFLOW_USE_TRACKING decides."""

import os

import dagster as dg

from dagma.kit.closed import closed
from dagma.kit.from_environment import from_environment
from dagma.kit.tracking.mlflow import (
    EXPERIMENT,
    MlflowResource,
    MlflowStubResource,
    MlflowTrackingResource,
)

YES = frozenset({"1", "true", "yes"})


@dg.definitions
def resources() -> dg.Definitions:
    """Bind `mlflow` by the environment."""
    return dg.Definitions(resources=closed({"mlflow": chosen()}))


def chosen() -> MlflowResource:
    """The server when MLFLOW_USE_TRACKING is 1, true or yes; the stub otherwise."""
    if os.environ.get("MLFLOW_USE_TRACKING", "").lower() not in YES:
        return MlflowStubResource()
    return MlflowTrackingResource.model_validate(
        {
            "tracking_uri": from_environment("MLFLOW_TRACKING_URI"),
            "experiment": from_environment("MLFLOW_EXPERIMENT", EXPERIMENT),
            "unreachable": os.environ.get("DAGMA_MLFLOW_UNREACHABLE", "stub"),
        }
    )
