"""Only who has the token may ask, where other people may log in to the machine."""

import json
import os
import pty
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import psutil
import pytest
from attacks import JSON, LAUNCH, VERSION, ask, browse
from live_stack import LiveStack, a_stack
from test_security_browsers import websocket

from dagma.stack import supervisor

#: An asset that logs as MLflow's manual says.
CODE = """
import dagster as dg

@dg.asset
def logged():
    import mlflow
    mlflow.set_experiment("of a run")
    with mlflow.start_run():
        mlflow.log_metric("loss", 0.25)
        mlflow.log_text("hello", "note.txt")

defs = dg.Definitions(assets=[logged], executor=dg.in_process_executor)
"""
PORTS = ("DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT")
#: Any user but the owner.
STRANGER = 65534
needs_a_second_user = pytest.mark.skipif(
    os.geteuid() != 0, reason="not root: no process of a second user can be started"
)


def on_a_terminal(live: LiveStack, *arguments: str) -> str:
    """What the command line shows to a person."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "dagma.cli", *arguments],
        cwd=live.work,
        env=live.environ() | {"TERM": "dumb", "BROWSER": "true"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while piece := terminal.read(4096):
                shown += piece
        except OSError:  # the other end is closed
            pass
    assert done.wait() == 0, shown.decode()
    return shown.decode()


@pytest.fixture(scope="module")
def shown() -> list[str]:
    """What `up` showed on a terminal."""
    return []


@pytest.fixture(scope="module")
def closed(shown: list[str]) -> Iterator[LiveStack]:
    """A stack that asks for the token, in a directory that others can reach, with an access log."""
    patch = pytest.MonkeyPatch()
    patch.setattr(tempfile, "tempdir", "/tmp")
    settings = {
        "DAGMA_TOKEN": "on",
        "DAGMA_CODE_MODULE": "logs",
        "DAGSTER_WEBSERVER_UVICORN_LOG_LEVEL": "info",
    }
    with a_stack(**settings) as live:
        (live.work / "logs.py").write_text(CODE)
        shown.append(on_a_terminal(live, "up", "-d", "data"))
        yield live
    patch.undo()


def secret(live: LiveStack) -> str:
    return (live.home / "secrets/token").read_text()


def bearer(live: LiveStack) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret(live)}"}


def as_json(query: str) -> str:
    return json.dumps({"query": query})


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("path", ["/", "/graphql", "/runs", "/api/2.0/mlflow/experiments/create"])
def test_without_the_token_nothing_is_answered(closed, port, path):
    for method, body in (("GET", None), ("POST", as_json(LAUNCH))):
        answer = ask(closed.ports[port], path, JSON, method, body)
        assert answer.status == 401
        assert "dagma open" in answer.text
        assert "DAGMA_TOKEN" in answer.text


def test_a_websocket_needs_it_too(closed):
    port = closed.ports["DAGSTER_WEBSERVER_PORT"]
    own = {"Origin": f"http://127.0.0.1:{port}"}
    assert websocket(port, own) == 403
    assert websocket(port, own | bearer(closed)) == 101
    assert websocket(port, own | {"Cookie": cookie(closed, "DAGSTER_WEBSERVER_PORT")}) == 101


@pytest.mark.parametrize("port", PORTS)
def test_nothing_near_the_token_opens(closed, port):
    right = secret(closed)
    for wrong in ("", right[:-1], f"{right}x", right.swapcase(), f"{right},{right}", "x" * 9999):
        headers = {"Authorization": f"Bearer {wrong}"}
        assert ask(closed.ports[port], "/", headers).status == 401
        assert ask(closed.ports[port], f"/?token={wrong}").status == 401
    assert ask(closed.ports[port], "/", {"Authorization": right}).status == 401
    assert ask(closed.ports[port], "/", {"Cookie": f"token={right}"}).status == 401


def test_programs_send_it(closed):
    webserver, mlflow = (closed.ports[port] for port in PORTS)
    posted = ask(webserver, "/graphql", JSON | bearer(closed), "POST", as_json(VERSION))
    assert json.loads(posted.text)["data"]["version"]
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert ask(mlflow, path, bearer(closed)).status == 200


def test_probes_do_not(closed):
    assert ask(closed.ports["DAGSTER_WEBSERVER_PORT"], "/server_info").status == 200
    for path in ("/health", "/version"):
        assert ask(closed.ports["MLFLOW_PORT"], path).status == 200
    assert all(service["healthy"] for service in closed.status().values())


def cookie(live: LiveStack, port: str) -> str:
    answer = ask(live.ports[port], f"/?token={secret(live)}")
    return str(answer.headers["Set-Cookie"]).partition(";")[0]


@pytest.mark.parametrize("port", PORTS)
def test_a_link_sets_a_cookie_and_leaves_the_address(closed, port):
    answer = ask(closed.ports[port], f"/runs?status=a%26b&token={secret(closed)}&view=x")
    assert answer.status == 303
    assert answer.headers["Location"] == "/runs?status=a%26b&view=x"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    name_and_value, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert secret(closed) not in name_and_value
    assert ask(closed.ports[port], "/", {"Cookie": f"a=b; {name_and_value}"}).status == 200
    [other] = set(PORTS) - {port}
    assert ask(closed.ports[other], "/", {"Cookie": name_and_value}).status == 401


def test_a_link_leads_to_no_other_site(closed):
    port = closed.ports["DAGSTER_WEBSERVER_PORT"]
    for path in ("//attacker.example/", "/\\attacker.example", "///attacker.example"):
        answer = ask(port, f"{path}?token={secret(closed)}")
        assert answer.headers["Location"].startswith("/attacker.example"), path


def test_a_cookie_is_no_use_to_a_page_of_another_site(closed):
    port = closed.ports["DAGSTER_WEBSERVER_PORT"]
    headers = {"Cookie": cookie(closed, "DAGSTER_WEBSERVER_PORT")} | JSON
    foreign = headers | {"Origin": "http://127.0.0.1:1"}
    assert ask(port, "/graphql", foreign, "POST", as_json(LAUNCH)).status == 403


def test_a_browser_gets_in_by_the_link_and_not_without(closed):
    address = f"http://127.0.0.1:{closed.ports['DAGSTER_WEBSERVER_PORT']}/"
    assert "Refused" in browse(address, 2)
    page = browse(f"{address}?token={secret(closed)}")
    assert "Refused" not in page
    assert "Overview" in page or "Dagster" in page


def test_up_shows_the_links_on_a_terminal_and_nowhere_else(closed, shown):
    for port in PORTS:
        assert f"http://127.0.0.1:{closed.ports[port]}/?token={secret(closed)}" in shown[0]
    for command in (["status"], ["up", "-d", "data"], ["env"], ["doctor"], ["logs"]):
        _code, output = closed.run(*command)
        assert secret(closed) not in output, command


def test_open_hands_the_browser_a_private_file(closed, tmp_path, monkeypatch):
    note = tmp_path / "note"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$@" >"{note}"\n')
    program.chmod(0o755)
    monkeypatch.setitem(closed.settings, "BROWSER", str(program))
    closed.dagma("open", "mlflow")
    assert secret(closed) not in note.read_text()
    page = closed.home / "secrets/open.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert f":{closed.ports['MLFLOW_PORT']}/?token={secret(closed)}" in page.read_text()
    assert f"?token={secret(closed)}" in on_a_terminal(closed, "open")


def test_the_page_that_open_writes_leads_a_browser_in(closed):
    closed.settings["BROWSER"] = "true"
    closed.dagma("open", "webserver")
    page = browse((closed.home / "secrets/open.html").as_uri())
    assert "Refused" not in page
    assert "Dagster" in page or "Overview" in page


def test_the_platforms_own_commands_have_it(closed):
    assert json.loads(closed.dagma("status", "--json"))["code_error"] is None
    assert "automations" in json.loads(closed.dagma("schedules", "--json"))
    closed.dagma("reload")


def test_a_run_logs_to_mlflow_as_its_manual_says(closed):
    selector = {
        "repositoryLocationName": "dagma",
        "repositoryName": "__repository__",
        "jobName": "__ASSET_JOB",
        "assetSelection": [{"path": ["logged"]}],
    }
    closed.headers = JSON | bearer(closed)
    closed.wait_for_success(closed.launch(selector), 180)
    found = closed.rows("SELECT value FROM metrics WHERE key = 'loss'", database="mlflow")
    assert found == [(0.25,)]


def test_mlflows_client_sends_the_token_to_no_other_server(closed, monkeypatch):
    from requests import Request

    from dagma.door import mlflow_client

    for name, value in closed.exports().items():
        monkeypatch.setenv(name, value)
    send = mlflow_client.Provider().get_auth()
    own = f"http://127.0.0.1:{closed.ports['MLFLOW_PORT']}/api"
    assert send(Request("GET", own).prepare()).headers == bearer(closed)
    for other in ("http://127.0.0.1:1/api", own.replace("127.0.0.1", "attacker.example")):
        assert "Authorization" not in send(Request("GET", other).prepare()).headers


@needs_a_second_user
def test_another_user_of_the_machine_gets_in_nowhere(closed):
    """Over TCP, by PostgreSQL's socket, and by the files of the state directory."""
    script = f"""
import http.client, os, psycopg2
for port in {[closed.ports[port] for port in PORTS]}:
    link = http.client.HTTPConnection("127.0.0.1", port)
    link.request("GET", "/graphql?query=%7Bversion%7D")
    print(link.getresponse().status)
for host in ("127.0.0.1", {str(closed.home / "run/pg")!r}):
    for user in ("postgres", "dagster", "mlflow", "analytics", "nobody"):
        try:
            psycopg2.connect(host=host, port={closed.ports["POSTGRES_PORT"]}, user=user, dbname="dagster")
            print("connected as", user)
        except psycopg2.OperationalError as error:
            print("no")
for name in ("token", "pgpass", "postgres", "qdrant.yaml", "."):
    path = os.path.join({str(closed.home / "secrets")!r}, name)
    try:
        print(os.listdir(path) if name == "." else open(path).read())
    except PermissionError:
        print("no")
"""
    done = subprocess.run(
        [sys.executable, "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        user=STRANGER,
        group=STRANGER,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
    )
    assert done.stdout.split() == ["401"] * 2 + ["no"] * 15, done.stdout + done.stderr


def test_the_token_is_in_no_log_environment_or_command_line(closed):
    for port in PORTS:  # once more, as a browser does
        assert ask(closed.ports[port], f"/?token={secret(closed)}").status == 303
        assert ask(closed.ports[port], f"/x?token={secret(closed)}x").status == 401
    logs = [path.read_text(errors="replace") for path in (closed.home / "logs").iterdir()]
    assert any('"GET / HTTP/1.1" 303' in text for text in logs)
    processes = supervisor.members(closed.home)
    assert len(processes) > 6
    for process in processes:
        try:
            logs += [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
    assert not [text for text in logs if secret(closed) in text]
