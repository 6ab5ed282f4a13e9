"""A web page that somebody opens while the stack runs does nothing in their name."""

import base64
import json
import os
import socket

import pytest
from attacks import (
    JSON,
    LAUNCH,
    SHUT_DOWN,
    UNASKED,
    VERSION,
    a_site,
    ask,
    browse,
    in_address,
)
from platform_client import wait_for

FOREIGN = {"Host": "attacker.example", "Origin": "http://attacker.example"}


@pytest.fixture
def webserver(stack) -> int:
    return stack.ports["DAGSTER_WEBSERVER_PORT"]


@pytest.fixture
def mlflow(stack) -> int:
    return stack.ports["MLFLOW_PORT"]


def runs(stack) -> int:
    return stack.rows("SELECT count(*) FROM runs")[0][0]


def refused(answer, *words) -> bool:
    return answer.status == 403 and all(word in answer.text for word in ("Refused", *words))


def as_json(query: str) -> str:
    return json.dumps({"query": query})


@pytest.mark.parametrize("query", [LAUNCH, SHUT_DOWN], ids=["launch", "shut down"])
@pytest.mark.parametrize(
    "headers",
    [{}, FOREIGN, {"Origin": "null"}, {"Accept": "application/json"}],
    ids=["plain", "foreign", "sandboxed", "as curl"],
)
def test_a_mutation_by_get_is_refused(stack, webserver, query, headers):
    before = runs(stack)
    assert refused(ask(webserver, in_address(query), headers))
    assert runs(stack) == before


def test_a_mutation_is_not_hidden_behind_another_query(webserver):
    path = f"{in_address(VERSION)}&{in_address(SHUT_DOWN).partition('?')[2]}"
    assert refused(ask(webserver, path), "POST")
    several = f"query a {VERSION} mutation b {SHUT_DOWN.removeprefix('mutation')}"
    assert refused(ask(webserver, f"{in_address(several)}&operationName=b"), "POST")


@pytest.mark.parametrize("kind", [*UNASKED, "text/plain; as=application/json", ""])
def test_a_post_that_a_page_may_send_unasked_is_refused(stack, webserver, kind):
    before = runs(stack)
    headers = {"Content-Type": kind} if kind else {}
    assert refused(ask(webserver, in_address(LAUNCH), headers, "POST", as_json(LAUNCH)), "JSON")
    assert runs(stack) == before


def test_a_page_does_not_report_a_materialization(stack, webserver):
    path = "/report_asset_materialization/raw_numbers?description=forged"
    count = "SELECT count(*) FROM event_logs WHERE event LIKE %s"
    assert refused(ask(webserver, path, {"Content-Type": "text/plain"}, "POST", "x"))
    assert refused(ask(webserver, path, {"Origin": "http://attacker.example"}, "POST", ""))
    assert stack.rows(count, "%forged%") == [(0,)]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (FOREIGN, ["attacker.example", "DAGMA_ALLOWED_HOSTS"]),
        ({"Host": "attacker.example"}, ["attacker.example", "DAGMA_ALLOWED_HOSTS"]),
        ({"Host": "10.attacker.example"}, ["DAGMA_ALLOWED_HOSTS"]),
        ({"Host": "127.0.0.1.attacker.example:3000"}, ["DAGMA_ALLOWED_HOSTS"]),
        ({"Host": "192.168.7.7"}, ["DAGMA_ALLOWED_HOSTS"]),
        ({"Host": ""}, ["DAGMA_ALLOWED_HOSTS"]),
        ({"Origin": "http://attacker.example"}, ["another site"]),
        ({"Origin": "http://127.0.0.1:1"}, ["another site"]),
        ({"Origin": "null"}, ["another site"]),
        ({"Sec-Fetch-Site": "cross-site"}, ["another site"]),
        ({"Sec-Fetch-Site": "same-site"}, ["another site"]),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("path", ["/graphql", "/runs", "/logs/x", "/api/2.0/mlflow/runs/search"])
def test_both_refuse_foreign_names_and_pages(stack, headers, words, path):
    """MLflow itself takes `10.attacker.example` for an address, and has no check for `/graphql`."""
    for port in ("DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT"):
        answer = ask(stack.ports[port], path, headers | JSON, "POST", as_json(VERSION))
        assert refused(answer, *words), (port, answer)
        assert refused(ask(stack.ports[port], path, headers), *words), port


def test_two_host_headers_are_refused(webserver):
    with socket.create_connection(("127.0.0.1", webserver), 10) as link:
        link.sendall(
            b"GET /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: attacker.example\r\n"
            b"Connection: close\r\n\r\n"
        )
        status = int(link.makefile("rb").readline().split()[1])
    assert status in (400, 403)


def websocket(port: int, headers: dict[str, str]) -> int:
    """The status of the answer to a websocket's handshake; 101 means that it is open."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": "graphql-ws",
        "Host": f"127.0.0.1:{port}",
    }
    lines = [f"{name}: {value}" for name, value in (handshake | headers).items()]
    with socket.create_connection(("127.0.0.1", port), 30) as link:
        link.sendall("\r\n".join(["GET /graphql HTTP/1.1", *lines, "", ""]).encode())
        return int(link.makefile("rb").readline().split()[1])


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Host": "attacker.example", "Origin": "http://attacker.example"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_a_websocket_of_another_site_is_refused(webserver, headers):
    assert websocket(webserver, headers) == 403


def test_a_websocket_of_the_interface_opens(webserver):
    assert websocket(webserver, {"Origin": f"http://127.0.0.1:{webserver}"}) == 101


def test_mlflow_takes_no_run_from_a_form(mlflow):
    path = "/api/2.0/mlflow/runs/create"
    body = json.dumps({"experiment_id": "0"})
    assert refused(ask(mlflow, path, {"Content-Type": "text/plain"}, "POST", body), "JSON")


def test_programs_are_not_hindered(stack, webserver, mlflow):
    """curl, dagster-graphql and MLflow's client send neither Origin nor Sec-Fetch-Site."""
    assert json.loads(ask(webserver, in_address(VERSION)).text)["data"]["version"]
    posted = ask(webserver, "/graphql", JSON, "POST", as_json(VERSION))
    assert json.loads(posted.text)["data"]["version"]
    kind = {"Content-Type": "application/graphql"}
    assert ask(webserver, "/graphql", kind, "POST", VERSION).status == 200
    found = ask(mlflow, "/api/2.0/mlflow/experiments/get?experiment_id=0")
    assert found.status == 200
    for host in ("localhost:3000", "LOCALHOST.", "127.0.0.9", "[::1]:3000"):
        assert ask(webserver, "/server_info", {"Host": host}).status == 200
        assert ask(mlflow, "/", {"Host": host}).status == 200, host


def test_mlflows_own_client_logs_a_metric(stack, mlflow):
    from mlflow import MlflowClient

    client = MlflowClient(f"http://127.0.0.1:{mlflow}")
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "loss", 0.5)
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}


def test_links_from_other_sites_open_a_page_but_no_frame(webserver):
    link = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
        "Accept": "text/html",
    }
    opened = ask(webserver, "/runs", link)
    assert opened.status == 200
    assert opened.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert refused(ask(webserver, "/runs", link | {"Sec-Fetch-Dest": "iframe"}))


#: Every way in which a page asks another site, each with what it could read.
ATTACKS = """
<img src="{target}/graphql?query={launch}">
<form id=f method=post enctype=text/plain target=t action="{target}/graphql?query={launch}"></form>
<iframe name=t></iframe><iframe src="{target}/runs"></iframe><pre id=seen></pre>
<script>
const seen = [], note = text => {{ seen.push(text); document.all.seen.textContent = seen.join("\\n"); }};
const body = JSON.stringify({{query: `{plain}`}});
const post = (headers, mode) => fetch("{target}/graphql", {{method: "POST", headers, body, mode}})
  .then(answer => answer.text().then(text => note("fetch " + answer.status + " " + text)),
        () => note("fetch failed"));
post({{"Content-Type": "application/json"}}, "cors");
post({{"Content-Type": "text/plain;application/json"}}, "no-cors");
document.all.f.submit();
const socket = new WebSocket("{target}/graphql".replace("http", "ws"), "graphql-ws");
socket.onopen = () => note("socket open");
socket.onerror = () => note("socket failed");
</script>
"""


@pytest.mark.parametrize("name", ["127.0.0.1", "attacker.example"])
def test_a_page_of_another_site_launches_nothing(stack, webserver, name):
    """On this machine under another port, which browsers call the same site, and elsewhere."""
    from urllib.parse import quote

    page = ATTACKS.format(
        target=f"http://127.0.0.1:{webserver}", launch=quote(LAUNCH), plain=LAUNCH
    )
    before = runs(stack)
    with a_site({"index.html": page}) as port:
        document = browse(f"http://{name}:{port}/")
    assert "socket failed" in document, document
    assert "fetch failed" in document
    assert "fetch 200" not in document
    assert runs(stack) == before


def test_a_page_whose_name_turns_into_this_machine_sees_nothing(webserver, mlflow):
    for port in (webserver, mlflow):
        document = browse(f"http://attacker.example:{port}/")
        assert "Refused" in document
        assert "DAGMA_ALLOWED_HOSTS" in document
        assert "<script" not in document


def test_the_interface_itself_works_in_a_browser(stack, webserver, mlflow):
    stack.wait_for_success(stack.launch_numbers())
    wait_for(
        lambda: "raw_numbers" in browse(f"http://127.0.0.1:{webserver}/assets"), 60, "the assets"
    )
    wait_for(lambda: "Default" in browse(f"http://localhost:{mlflow}/"), 60, "the experiments")
