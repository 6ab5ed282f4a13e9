"""Start MLflow's server in one process.

`mlflow server` imports MLflow, then starts uvicorn, which imports it again in another process. With
one worker and no job runner a single process serves the same in half the time and memory, and there
is no child that could outlive it. For anything else this becomes `mlflow server`. Both serve the
application that is behind the door.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dagma import databases
from dagma.errors import DagmaError
from dagma.stack import settings
from dagma.stack.layout import Layout
from dagma.stack.settings import Settings

if TYPE_CHECKING:
    from flask import Response

#: What MLflow 3.17 keeps in the browser's memory.
FIRST_VIEW = (
    b"<script>try{localStorage['mlflow.workflowType_v1']??='\"machine_learning\"'}catch{}</script>"
)


def main() -> None:
    """Entry point of the process `mlflow`."""
    try:
        chosen = settings.load(os.environ).settings
        uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
        databases.wait_for(uri)
    except DagmaError as error:
        sys.exit(f"dagma: {error}")
    # These name the server for clients; the server itself must not take them for its own storage.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    if chosen.mlflow_workers == 1 and not chosen.mlflow_jobs:
        serve_here(chosen, uri)
    arguments = command(chosen, uri)
    os.execvp(arguments[0], arguments)


def command(chosen: Settings, uri: str) -> list[str]:
    """The command line of MLflow's own server."""
    options = {
        "app-name": "dagma",
        "host": chosen.host,
        "port": str(chosen.mlflow_port),
        "workers": str(chosen.mlflow_workers),
        "backend-store-uri": uri,
        "artifacts-destination": str(Layout.of(chosen).mlflow_artifacts),
    }
    return ["mlflow", "server", *(f"--{name}={value}" for name, value in options.items())]


def serve_here(chosen: Settings, uri: str) -> None:
    """Serve until a signal; returns only when this MLflow is not built the way we know."""
    try:
        import uvicorn  # before mlflow.server, which asks whether it runs in a server

        _configure(chosen, uri)
        app = import_module("dagma.door.mlflow").app  # before others import MLflow's own
        handlers = import_module("mlflow.server.handlers")
        handlers.initialize_backend_stores(uri, uri, "mlflow-artifacts:/")
        import_module("mlflow.server").app.after_request(open_with_training)
        log_config = Path(str(import_module("mlflow.server").__file__)).with_name(
            "uvicorn_log_config.yaml"
        )
    except (ImportError, AttributeError, TypeError) as error:
        print(f"Starting `mlflow server` instead of one process: {error}", flush=True)
        return
    uvicorn.run(
        app,
        host=chosen.host,
        port=chosen.mlflow_port,
        log_config=str(log_config) if log_config.exists() else None,
        access_log=False,
    )
    sys.exit(0)


def open_with_training(answer: "Response") -> "Response":
    """Let MLflow's page open in its view for training, until somebody chooses the other.

    Its own first choice is the view for language models, where no run of a training is to be seen.
    The page remembers the choice in the browser, and nothing on the server sets it.
    """
    from flask import request

    if request.path == "/" and answer.status_code == 200 and answer.mimetype == "text/html":
        answer.direct_passthrough = False
        answer.set_data(answer.get_data().replace(b"<head>", b"<head>" + FIRST_VIEW, 1))
        # They are of the file without the script.
        for name in ("ETag", "Last-Modified"):
            answer.headers.pop(name, None)
    return answer


def _configure(chosen: Settings, uri: str) -> None:
    """Tell MLflow's application what its command line would tell it."""
    os.environ.update(
        {
            "_MLFLOW_SERVER_FILE_STORE": uri,
            "_MLFLOW_SERVER_REGISTRY_STORE": uri,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(Layout.of(chosen).mlflow_artifacts),
            "_MLFLOW_SGI_NAME": "uvicorn",
            "_MLFLOW_IN_JOB_EXECUTOR": "false",
        }
    )


if __name__ == "__main__":
    main()
