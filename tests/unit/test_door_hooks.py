"""Canaries: where the door is hung into Dagster's and MLflow's own programs."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress

import pytest
from platform_client import free_ports, wait_for

from dagma.door import mlflow_cli


def test_dagsters_webserver_makes_its_application_by_the_class_that_the_door_replaces():
    """`dagster_webserver.app.DagsterWebserver` and its method `build_middleware`."""
    from dagster import instance_for_test
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import EmptyWorkspaceTarget
    from dagster_webserver import app, cli
    from dagster_webserver.webserver import DagsterWebserver

    from dagma.door.webserver import GuardedWebserver

    assert app.DagsterWebserver is DagsterWebserver
    assert cli.create_app_from_workspace_process_context is (
        app.create_app_from_workspace_process_context
    )
    with (
        pytest.MonkeyPatch.context() as patch,
        instance_for_test() as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context,
    ):
        patch.setattr(app, "DagsterWebserver", GuardedWebserver)
        made = app.create_app_from_workspace_process_context(context)
        assert asyncio.run(answer(made, b"localhost")) == 200
        assert asyncio.run(answer(made, b"attacker.example")) == 403


async def answer(application, host: bytes) -> int:
    """The status of a page without a server in between."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"query={version}",
        "headers": [(b"host", host)],
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
        "server": ("127.0.0.1", 3000),
        "client": ("127.0.0.1", 1),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await application(scope, receive, send)
    return sent[0]["status"]


def test_mlflows_server_takes_the_application_of_the_entry_point_in_every_worker(tmp_path):
    """`mlflow.app`, for `mlflow server --app-name`, which is what several workers or jobs get."""
    from dagma.stack.services import mlflow
    from dagma.stack.settings import Settings

    [port] = free_ports(1)
    chosen = Settings.model_validate(
        {"DAGMA_HOME": tmp_path, "MLFLOW_PORT": str(port), "MLFLOW_WORKERS": "2"}
    )
    command = mlflow.command(chosen, f"sqlite:///{tmp_path}/mlflow.db")
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-P", "-m", *command],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: status(port, "127.0.0.1") == 200, 300, "MLflow")
        assert {status(port, "attacker.example") for _ in range(10)} == {403}
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        (["server"], ["server", "--app-name=dagma"]),
        (["server", "--port", "1"], ["server", "--app-name=dagma", "--port", "1"]),
        (["server", "--app-name", "basic-auth"], ["server", "--app-name", "basic-auth"]),
        (["db", "upgrade", "server"], ["db", "upgrade", "server"]),
        ([], []),
    ],
)
def test_the_images_command_mlflow_serves_it_unless_told_otherwise(given, becomes):
    assert mlflow_cli.behind_the_door(given) == becomes


def status(port: int, host: str) -> int | None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": host})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError):
        try:
            with opener.open(request, timeout=30) as found:
                return found.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
    return None
