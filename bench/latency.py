"""Measure what the door costs a request: Dagster's and MLflow's own applications with and without it.

`./nixw develop -c python bench/latency.py [REQUESTS]`; README.md says what the figures mean.

A stack of its own serves both sides: its webserver and MLflow ask for the token, and beside them the
same programs run without the door on the same databases. Both take turns, request by request, so that
what else the machine does falls on both. Exit code 1 means that something did not start.
"""

import contextlib
import http.client
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from start import FOREIGN, free_ports, http_status

#: How much slower a request may be, as a ratio.
TARGET = 1.05
#: Requests of each side that do not count.
WARMING = 50
#: Seconds that a server may take to start.
PATIENCE = 240.0
PORTS = ("POSTGRES_PORT", "DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT")
JSON = {"Content-Type": "application/json"}
type Ask = Callable[[], float]


def environment(home: Path) -> dict[str, str]:
    """Settings of a stack on free ports that asks for the token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    return kept | ports | {"DAGMA_HOME": str(home), "DAGMA_TOKEN": "on"}


def dagma(environ: dict[str, str], *arguments: str) -> str:
    """Run the command line to its end; what it printed."""
    command = [sys.executable, "-m", "dagma.cli", *arguments]
    return subprocess.run(
        command, env=environ, text=True, stdout=subprocess.PIPE, check=True
    ).stdout


@contextlib.contextmanager
def without_the_door(environ: dict[str, str]) -> Iterator[dict[str, int]]:
    """The products' own programs on the stack's databases; the ports that they have."""
    exported = [shlex.split(line)[1].split("=", 1) for line in dagma(environ, "env").splitlines()]
    inside = environ | dict(exported)
    webserver, mlflow = free_ports(2)
    uri = inside["MLFLOW_BACKEND_STORE_URI"]
    of_mlflow = {
        "_MLFLOW_SERVER_FILE_STORE": uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_TRACKING_URI": uri,
    }
    here = ("--host", "127.0.0.1", "--port")
    workspace = f"{inside['DAGSTER_HOME']}/workspace.yaml"
    commands = (
        ["dagster-webserver", *here, str(webserver), "--workspace", workspace],
        [
            *("uvicorn", "mlflow.server.fastapi_app:app", *here, str(mlflow)),
            *("--no-access-log", "--log-level", "warning"),
        ],
    )
    with contextlib.ExitStack() as stack:
        for command, more in zip(commands, ({}, of_mlflow), strict=True):
            whole = [sys.executable, "-P", "-m", command[0].replace("-", "_"), *command[1:]]
            server = stack.enter_context(
                subprocess.Popen(whole, env=inside | more, stdout=subprocess.DEVNULL)
            )
            stack.callback(server.terminate)
        await_answer(webserver, "/server_info")
        await_answer(mlflow, "/health")
        yield {"DAGSTER_WEBSERVER_PORT": webserver, "MLFLOW_PORT": mlflow}


def await_answer(port: int, path: str) -> None:
    """Wait until a server answers 200.

    Raises:
        SystemExit: It does not.
    """
    deadline = time.monotonic() + PATIENCE
    while http_status(port, path) != 200:
        if time.monotonic() > deadline:
            sys.exit(f"latency: nothing answers on port {port}")
        time.sleep(0.1)


def asking(port: int, path: str, body: object, headers: dict[str, str]) -> Ask:
    """A way to send one request on a connection that stays; the seconds until its answer."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    text = json.dumps(body)

    def ask() -> float:
        begun = time.perf_counter()
        link.request("POST", path, text, JSON | headers)
        answer = link.getresponse()
        said = answer.read()
        passed = time.perf_counter() - begun
        if answer.status != 200:
            sys.exit(f"latency: {path} answers {answer.status}: {said[:200]!r}")
        return passed

    return ask


def compare(name: str, ours: Ask, peer: Ask, requests: int) -> None:
    """Send requests in turn and print the medians, in milliseconds, and their ratio."""
    for _ in range(WARMING):
        ours(), peer()
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(requests):
        sides = [(0, ours), (1, peer)]
        for side, ask in (
            sides if number % 2 else reversed(sides)
        ):  # who is first finds colder caches
            took[side].append(ask())
    with_it, without = (statistics.median(side) * 1000 for side in took)
    ratio = with_it / without
    verdict = "met" if ratio <= TARGET else "missed"
    print(f"{name:<22} {with_it:8.2f} {without:8.2f} {ratio:8.3f}  {verdict}", flush=True)


def main() -> None:
    """Measure."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory(prefix="dagma-bench-") as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as another user
        environ = environment(Path(folder) / "home")
        try:
            dagma(environ, "up", "-d", "data")
            with without_the_door(environ) as peer:
                measure(environ, peer, Path(folder), requests)
        finally:
            dagma(environ, "down", "--now")


def measure(environ: dict[str, str], peer: dict[str, int], folder: Path, requests: int) -> None:
    """Compare each request."""
    token = (folder / "home/secrets/token").read_text()
    bearer = {"Authorization": f"Bearer {token}"}
    webserver, mlflow = (int(environ[name]) for name in PORTS[1:])
    print(f"{'median, ms':<22} {'door':>8} {'without':>8} {'ratio':>8}  at most {TARGET}")
    runs = {"query": "{ runsOrError(limit: 10) { __typename } }"}
    for name, body in (("/graphql version", {"query": "{ version }"}), ("/graphql runs", runs)):
        bodies = ("/graphql", body)
        compare(
            name,
            asking(webserver, *bodies, bearer),
            asking(peer["DAGSTER_WEBSERVER_PORT"], *bodies, {}),
            requests,
        )
    metric = {"run_id": a_run(mlflow, bearer), "key": "loss", "value": 0.5, "timestamp": 1}
    log = ("/api/2.0/mlflow/runs/log-metric", metric)
    plain = asking(peer["MLFLOW_PORT"], *log, {})
    compare("MLflow log-metric", asking(mlflow, *log, bearer), plain, requests)


def a_run(port: int, headers: dict[str, str]) -> str:
    """A new run of MLflow's; its id."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"experiment_id": "0"})
    link.request("POST", "/api/2.0/mlflow/runs/create", body, JSON | headers)
    return str(json.loads(link.getresponse().read())["run"]["info"]["run_id"])


if __name__ == "__main__":
    main()
