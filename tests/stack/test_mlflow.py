import json
import re

import pytest


def api(stack, path, body):
    return json.loads(stack.web("MLFLOW_PORT", f"/api/2.0/mlflow/{path}", body))


def test_health(stack):
    assert stack.web("MLFLOW_PORT", "/health") == b"OK"


def test_its_page_opens_in_the_view_for_training(stack):
    page = stack.web("MLFLOW_PORT", "/").decode()
    # Before the page's own script reads what the browser remembers.
    script = page.index("localStorage['mlflow.workflowType_v1']??='\"machine_learning\"'")
    assert script < page.index("static-files/static/js/main")
    own = re.findall(r"static-files/static/js/main[.\w]+js", page)
    frontend = stack.web("MLFLOW_PORT", f"/{own[0]}").decode()
    assert '"mlflow.workflowType"' in frontend  # a new version with another name is noticed here


def test_its_tables_are_in_its_own_database(stack):
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    mlflow = {name for (name,) in stack.rows(tables, database="mlflow")}
    dagster = {name for (name,) in stack.rows(tables, database="dagster")}
    assert {"experiments", "runs", "metrics"} <= mlflow
    assert {"runs", "event_logs"} <= dagster
    assert not {"experiments", "metrics"} & dagster


def test_a_metric_is_logged_and_read_back_from_postgresql(stack):
    run = api(stack, "runs/create", {"experiment_id": "0", "run_name": "a test"})["run"]
    run_id = run["info"]["run_id"]
    metric = {"run_id": run_id, "key": "loss", "value": 0.25, "timestamp": 1, "step": 1}
    api(stack, "runs/log-metric", metric)
    rows = stack.rows("SELECT value FROM metrics WHERE run_uuid = %s", run_id, database="mlflow")
    assert rows == [(0.25,)]
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:/")


def test_artifacts_go_through_the_server_into_the_state_directory(stack):
    path = "/api/2.0/mlflow-artifacts/artifacts/0/note.txt"
    stack.web("MLFLOW_PORT", path, b"hello", method="PUT")
    assert (stack.home / "mlflow/artifacts/0/note.txt").read_text() == "hello"
    assert stack.web("MLFLOW_PORT", path) == b"hello"


def test_a_foreign_host_header_is_refused(stack):
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.ports['MLFLOW_PORT']}/api/2.0/mlflow/experiments/search",
        headers={"Host": "attacker.example"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(request, timeout=30)
    assert caught.value.code == 403
    caught.value.close()
