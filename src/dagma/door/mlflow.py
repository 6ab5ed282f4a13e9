"""MLflow's server behind the door: the application `dagma` of `mlflow server --app-name`.

MLflow has checks of its own, which stay: of the `Origin` below `/api`, and frames. That of host
names is left to the door, since MLflow's takes 10.attacker.example for an address. That of artifacts'
places is completed.
"""

import os
from importlib import import_module
from unittest import mock

from starlette.types import ASGIApp

from dagma import mlflow_artifacts
from dagma.door import site, token
from dagma.door.guard import Guard
from dagma.door.login import Login


def _application() -> ASGIApp:
    with mock.patch.dict(os.environ, {site.MLFLOW_HOSTS: "*"}):  # it is read at the import
        import_module("mlflow.server.handlers")
        mlflow_artifacts.limit(os.environ)  # before others take its functions by their names
        application: ASGIApp = import_module("mlflow.server.fastapi_app").app
    if secret := token.read(os.environ):
        application = Login(application, secret, "mlflow")
    return Guard(application, site.of_mlflow(os.environ))


#: What an ASGI server serves.
app = _application()
