"""What tests of the running platform share, whether processes or containers serve it."""

import atexit
import json
import random
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

NUMBERS = ("raw_numbers", "sum_numbers", "viz_ready_data")
#: The example from the corpus to the vectors and to dbt's models.
CORPUS_TO_VECTORS_AND_MODELS = (
    *("raw_recipes", "normalized_recipes", "training_recipes"),
    *("ingredient_embedding_model", "ingredient_vectors", "similar_ingredients"),
    *("recipe_ingredients", "recipes_per_cuisine", "ingredient_counts"),
)

LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
} }
"""
ASSET_NODES = """
query { assetNodes { assetKey { path } jobNames repository { name } } }
"""
RUN = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }
"""
LOCATION = """
query { workspaceOrError { ... on Workspace { locationEntries { name displayMetadata { key value }
  locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What the condition returns once it is true; a failure after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


def assignable_ports() -> range:
    """Ports below those that the system gives to outgoing connections."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32768  # macOS has 49152
    return range(max(1024, first - 12000), first)


def free_ports(count: int, among: Sequence[int] | None = None) -> list[int]:
    """Ports that nothing uses, and that no other process of tests is given while this one lives.

    Args:
        count: How many.
        among: Which come into question; by default the assignable ones.
    """
    ports: list[int] = []
    candidates = assignable_ports() if among is None else among
    for port in random.sample(candidates, len(candidates)):
        if len(ports) < count and _reserve(port):
            ports.append(port)
    if len(ports) < count:
        pytest.fail("no free ports")
    return ports


def _reserve(port: int) -> bool:
    """Take a port for this process, if it is free.

    UDP has the same ports and none of our services uses it: so a socket of UDP is the sign that a
    port is taken. The system lets one process have it, whoever runs it, and frees it at its end.
    """
    sign = socket.socket(type=socket.SOCK_DGRAM)
    try:
        sign.bind(("127.0.0.1", port))
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))
    except OSError:
        sign.close()
        return False
    atexit.register(sign.close)
    return True


class Platform:
    """The web interfaces of a running platform, on ports of this machine."""

    ports: dict[str, int]
    #: What every request has.
    headers: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})

    def web(
        self,
        setting: str,
        path: str,
        body: Any = None,
        method: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """The answer of one of the web interfaces."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[setting]}{path}",
            data=data,
            headers={**self.headers, **(headers or {})},
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with closing(opener.open(request, timeout=120)) as answer:
            return answer.read()

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        answer = json.loads(self.web("DAGSTER_WEBSERVER_PORT", "/graphql", body))
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def location(self) -> dict[str, Any]:
        """The one code location: name, displayMetadata, locationOrLoadError."""
        [entry] = self.graphql(LOCATION)["workspaceOrError"]["locationEntries"]
        return entry

    def location_is_loaded(self) -> bool:
        entry = self.location()
        found = entry["locationOrLoadError"]
        return entry["name"] == "dagma" and found["__typename"] == "RepositoryLocation"

    def launch(
        self,
        selector: dict[str, Any],
        config: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> str:
        """Queue a run through GraphQL; the run's id."""
        pairs = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        params = {
            "selector": selector,
            "runConfigData": config or {},
            "mode": "default",
            "executionMetadata": {"tags": pairs},
        }
        answer = self.graphql(LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def launch_assets(self, names: Sequence[str], config: dict[str, Any] | None = None) -> str:
        """Materialize assets in one run through the queue; the run's id."""
        nodes = self.graphql(ASSET_NODES)["assetNodes"]
        node = next(n for n in nodes if n["assetKey"]["path"] == [names[0]])
        selector = {
            "repositoryLocationName": "dagma",
            "repositoryName": node["repository"]["name"],
            "jobName": next(name for name in node["jobNames"] if name.startswith("__ASSET_JOB")),
            "assetSelection": [{"path": [name]} for name in names],
        }
        return self.launch(selector, config)

    def launch_numbers(self) -> str:
        """Materialize the number assets; the run's id."""
        return self.launch_assets(NUMBERS)

    def launch_recipes(self) -> str:
        """Queue the job that tidies the corpus; the run's id."""
        return self.launch(
            {
                "repositoryLocationName": "dagma",
                "repositoryName": "__repository__",
                "jobName": "recipes",
            }
        )

    def rows(self, query: str, *values: Any, database: str = "dagster") -> list[tuple[Any, ...]]:
        """What PostgreSQL answers."""
        raise NotImplementedError

    def check_results(self, run_id: str) -> list[bool]:
        """Whether each asset check of a run passed."""
        found = self.rows(
            "SELECT event FROM event_logs WHERE run_id = %s"
            " AND dagster_event_type = 'ASSET_CHECK_EVALUATION'",
            run_id,
        )
        events = [json.loads(event)["dagster_event"] for (event,) in found]
        return [event["event_specific_data"]["success"] for event in events]

    def run_status(self, run_id: str) -> str:
        return self.graphql(RUN, id=run_id)["runOrError"]["status"]

    def wait_for_success(self, run_id: str, seconds: float = 180) -> None:
        def finished() -> bool:
            status = self.run_status(run_id)
            assert status not in ("FAILURE", "CANCELED"), f"{run_id} ended in {status}"
            return status == "SUCCESS"

        wait_for(finished, seconds, f"run {run_id}")
