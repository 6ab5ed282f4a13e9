"""MLflow: experiments, metrics and models, with a database of its own.

`mlflow server` imports MLflow, then starts uvicorn, which imports it again in another process. With
one worker and no job runner a single process serves the same in half the time and memory, and there
is no child that could outlive it. For anything else this becomes `mlflow server`. Both serve the
application that is behind the door.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dagma import values
from dagma.stack.fields import STACK, Part, setting
from dagma.stack.service import Application, Process, Service, Tree, database_url, probe_host, text

if TYPE_CHECKING:
    from flask import Response

    from dagma.stack.settings import Settings

#: What MLflow 3.17 keeps in the browser's memory.
FIRST_VIEW = (
    b"<script>try{localStorage['mlflow.workflowType_v1']??='\"machine_learning\"'}catch{}</script>"
)
#: How often MLflow's client tries again. Four times take half a minute, enough for a restart; with
#: its own default it takes four minutes to see that a server is gone.
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
#: With what MLflow's client shows the token, where one is asked for.
TOKEN_SHOWN = "MLFLOW_TRACKING_AUTH"
_SERVER = ("mlflow",)


class MlflowSettings(Part):
    """What a user can set about MLflow."""

    mlflow_port: values.Port = setting("MLFLOW_PORT", 5000, "Port of MLflow.", taken_by=STACK)
    mlflow_tracking_uri: values.Text | None = setting(
        "MLFLOW_TRACKING_URI", None, "MLflow server that assets log to.", "the stack's own"
    )
    mlflow_use_tracking: values.Flag | None = setting(
        "MLFLOW_USE_TRACKING",
        None,
        "Whether assets log to MLflow; otherwise to a stub that keeps nothing.",
        "true when there is an MLflow",
    )
    mlflow_experiment: values.Text = setting(
        "MLFLOW_EXPERIMENT", "dagma", "MLflow experiment that assets log to."
    )
    mlflow_unreachable: values.Unreachable = setting(
        "DAGMA_MLFLOW_UNREACHABLE",
        "stub",
        "What assets do when MLflow does not answer: stub (go on without it) or fail.",
    )
    mlflow_workers: values.Count = setting(
        "MLFLOW_WORKERS",
        1,
        "Worker processes of MLflow; each takes about 200 MB.",
        taken_by=_SERVER,
    )
    mlflow_jobs: values.Flag = setting(
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
        False,
        "MLflow's job runner (GenAI scoring); it takes eight more processes, about 1 GB.",
        taken_by=_SERVER,
    )
    mlflow_allowed_hosts: values.Text | None = setting(
        "MLFLOW_SERVER_ALLOWED_HOSTS",
        None,
        "Host names that MLflow alone answers to as well, separated by commas.",
        "none",
        taken_by=_SERVER,
    )
    mlflow_artifact_schemes: values.Schemes = setting(
        "DAGMA_MLFLOW_ARTIFACT_SCHEMES",
        "mlflow-artifacts",
        "Where experiments may keep artifacts: mlflow-artifacts, which is MLflow itself, s3, gs, ...",
        taken_by=_SERVER,
    )


def artifacts(settings: "Settings") -> Path:
    """What MLflow's clients upload."""
    return settings.home / "mlflow" / "artifacts"


class Mlflow(Service):
    """The tracking server, its database and its artifacts."""

    name = "mlflow"
    page = "models.md"
    groups = ("data", "ml", "full")
    products = {"MLFLOW_": ("user_code", "mlflow")}  # noqa: RUF012 - typed in Service
    made = frozenset({"MLFLOW_BACKEND_STORE_URI", "MLFLOW_DISABLE_TELEMETRY", RETRIES, TOKEN_SHOWN})
    distributions = ("mlflow",)
    processes = (
        Process(
            "mlflow",
            "http://{web}:{s.mlflow_port}",
            ("mlflow_port",),
            programs=("mlflow",),
            page="door",
        ),
    )
    trees = (Tree("mlflow/artifacts", "MLflow's artifacts", artifacts),)
    measured = ("mlflow", "MLflow artifacts")

    def directories(self, settings: "Settings") -> list[Path]:
        """That of the artifacts, and the one above it."""
        return [artifacts(settings).parent, artifacts(settings)]

    def applications(self, settings: "Settings") -> list[Application]:
        """Its backend store."""
        return [
            Application(
                name="mlflow",
                distribution="mlflow",
                role="mlflow",
                database="mlflow",
                migrate=("mlflow", "db", "upgrade", database_url(settings, "mlflow", "mlflow")),
                scripts="mlflow:store/db_migrations",
                processes=("mlflow",),
            )
        ]

    def exports(
        self, settings: "Settings", running: list[str], environ: Mapping[str, str]
    ) -> dict[str, str]:
        """The store for the server; for clients, where the server is and how they ask it."""
        from dagma.stack import access

        exported = {
            "MLFLOW_BACKEND_STORE_URI": database_url(settings, "mlflow", "mlflow"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            RETRIES: environ.get(RETRIES, "4"),
        }
        if access.needs_token(settings):
            exported[TOKEN_SHOWN] = "dagma"
        ours = "mlflow" in running
        if ours and settings.mlflow_tracking_uri is None:
            exported["MLFLOW_TRACKING_URI"] = (
                f"http://{probe_host(settings)}:{settings.mlflow_port}"
            )
        if settings.mlflow_use_tracking is None:
            used = ours or settings.mlflow_tracking_uri is not None
            exported["MLFLOW_USE_TRACKING"] = text(used)
        return exported

    def serve(self) -> None:
        """Become the server."""
        from dagma import databases
        from dagma.stack import settings

        chosen = settings.load(os.environ).settings
        uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
        databases.wait_for(uri)
        # These name the server for clients; the server itself must not take them for its own storage.
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            os.environ.pop(name, None)
        if chosen.mlflow_workers == 1 and not chosen.mlflow_jobs:
            serve_here(chosen, uri)
        arguments = command(chosen, uri)
        os.execvp(arguments[0], arguments)


def command(chosen: "Settings", uri: str) -> list[str]:
    """The command line of MLflow's own server."""
    options = {
        "app-name": "dagma",
        "host": chosen.host,
        "port": str(chosen.mlflow_port),
        "workers": str(chosen.mlflow_workers),
        "backend-store-uri": uri,
        "artifacts-destination": str(artifacts(chosen)),
    }
    return ["mlflow", "server", *(f"--{name}={value}" for name, value in options.items())]


def serve_here(chosen: "Settings", uri: str) -> None:
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


def _configure(chosen: "Settings", uri: str) -> None:
    """Tell MLflow's application what its command line would tell it."""
    os.environ.update(
        {
            "_MLFLOW_SERVER_FILE_STORE": uri,
            "_MLFLOW_SERVER_REGISTRY_STORE": uri,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(artifacts(chosen)),
            "_MLFLOW_SGI_NAME": "uvicorn",
            "_MLFLOW_IN_JOB_EXECUTOR": "false",
        }
    )
