import os
import subprocess
import sys

import pytest

from dagma import mlflow_artifacts
from dagma.mlflow_artifacts import refused

OWN = frozenset({"mlflow-artifacts"})


def python(script, *arguments, **environ):
    """What a script prints in a process of its own, since it imports or changes MLflow's server."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *arguments],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "place", ["mlflow-artifacts:/1", "mlflow-artifacts:/team/a%20b", " mlflow-artifacts:/1 "]
)
def test_mlflow_s_own_folder_is_a_place(place):
    assert refused(place, OWN) is None


@pytest.mark.parametrize(
    "place",
    [
        *("file:///etc", "FILE:///etc", "/etc", "etc", "./x", "C:/x", "file:etc", "~/x", "//h/x"),
        *("s3://bucket/x", "http://169.254.169.254/x", "runs:/1", "dbfs:/x", "local:/x"),
        *("mlflow-artifacts:/../x", "mlflow-artifacts:/1/%2e%2e/2", "mlflow-artifacts:/1/..%252f2"),
        *("mlflow-artifacts:..", "mlflow-artifacts:/a\\..\\b"),
    ],
)
def test_nothing_else_is(place):
    assert repr(place) in refused(place, OWN)


def test_a_setting_allows_more():
    assert refused("s3://bucket/x", OWN | {"s3"}) is None
    assert refused("/shared/x", OWN | {"file"}) is None
    assert "not among those of DAGMA_MLFLOW_ARTIFACT_SCHEMES, " in refused("/x", OWN | {"s3"})


def test_mlflow_has_the_checks_that_are_completed():
    """A new MLflow that moves one of them fails here by its name."""
    script = """
import inspect, sys
from mlflow.server import handlers
for name in sys.argv[1:]:
    print(len(inspect.signature(getattr(handlers, name)).parameters))
"""
    assert python(script, *mlflow_artifacts.CHECKS).split() == ["1", "1", "1"]


def test_a_place_in_the_database_is_looked_at_again_when_it_is_used():
    script = """
import os
from dagma import mlflow_artifacts
mlflow_artifacts.limit(os.environ)
from mlflow.server import handlers
for use in (handlers._get_artifact_repository_for_uri, handlers._get_trace_repo_from_uri):
    try:
        print(use(os.environ["PLACE"]))
    except Exception as error:
        print(type(error).__name__, error)
"""
    for place in ("file:///etc", "mlflow-artifacts:/../../x"):
        said = python(script, PLACE=place, _MLFLOW_SERVER_ARTIFACT_DESTINATION="/srv").splitlines()
        assert len(said) == 2
        assert all(f"MlflowException Artifacts may not be kept at {place!r}" in one for one in said)
