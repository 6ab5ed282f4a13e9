"""Pickles and MLflow's artifacts, tried over HTTP alone, as everybody can who reaches the ports."""

import json
import os
import pickle
import urllib.error
from contextlib import suppress
from pathlib import Path

import pytest
from live_stack import a_stack
from platform_client import wait_for

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
CREATE = "/api/2.0/mlflow/experiments/create"
LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on RunConfigValidationInvalid { errors { message } } } }
"""


class Planted:
    """Code that runs when its pickle is loaded."""

    def __init__(self, sign):
        self.sign = sign

    def __reduce__(self):
        return os.mkdir, (str(self.sign),)


def attack(live, base_dir, asset, upstream):
    """Upload a pickle, then launch a run that is to load it as the value of the upstream asset."""
    sign = live.work / "the code ran"
    planted = pickle.dumps(Planted(sign))
    for name in (upstream, f"{upstream}.json", f"{upstream}.parquet"):
        live.web("MLFLOW_PORT", f"{PROXY}/planted/{name}", planted, "PUT")
    assert (live.home / "mlflow/artifacts/planted" / upstream).read_bytes() == planted
    nodes = live.graphql("query { assetNodes { assetKey { path } jobNames repository { name } } }")
    node = next(n for n in nodes["assetNodes"] if n["assetKey"]["path"] == [asset])
    job = next(name for name in node["jobNames"] if name.startswith("__ASSET_JOB"))
    params = {
        "selector": {
            "repositoryLocationName": "dagma",
            "repositoryName": node["repository"]["name"],
            "jobName": job,
            "assetSelection": [{"path": [asset]}],
        },
        "runConfigData": {"resources": {"io_manager": {"config": {"base_dir": base_dir}}}},
        "mode": "default",
    }
    answer = live.graphql(LAUNCH, params=params)["launchRun"]
    return answer, sign


def test_a_planted_pickle_is_not_loaded(stack):
    place = str(stack.home / "mlflow/artifacts/planted")
    answer, sign = attack(stack, place, "sum_numbers", "raw_numbers")
    assert answer["__typename"] == "RunConfigValidationInvalid"
    assert "unexpected config entry" in answer["errors"][0]["message"]
    assert not sign.exists()


def test_own_code_without_an_io_manager_reads_pickles_in_one_place_only():
    with a_stack() as live:
        (live.work / "ours.py").write_text(
            "import dagster as dg\n\n\n@dg.asset\ndef first():\n    return (1, 2)\n\n\n"
            "@dg.asset\ndef second(first):\n    assert first == (1, 2), first\n\n\n"
            "@dg.op\ndef count(number: int): ...\n\n\n@dg.job\ndef counting():\n    count()\n\n\n"
            "defs = dg.Definitions(assets=[first, second], jobs=[counting])\n"
        )
        live.settings["DAGMA_CODE_MODULE"] = "ours"
        live.dagma("up", "-d", "data")
        live.wait_for_success(live.launch_assets(["first", "second"]))
        assert (live.home / "dagster/storage/first").is_file()
        answer, sign = attack(live, str(live.home / "mlflow/artifacts/planted"), "second", "first")
        if answer["__typename"] == "LaunchRunSuccess":  # what is given is not used
            query = "SELECT count(*) FROM runs WHERE status IN ('SUCCESS', 'FAILURE')"
            wait_for(lambda: live.rows(query) == [(2,)], 120, "the end of both runs")
            assert live.rows("SELECT DISTINCT status FROM runs") == [("SUCCESS",)]
        assert not sign.exists()
        planted = {"pickle": {"path": str(live.home / "mlflow/artifacts/planted/first")}}
        selector = {"repositoryLocationName": "dagma", "repositoryName": "__repository__"}
        given = {"ops": {"count": {"inputs": {"number": planted}}}}
        run_id = live.launch(selector | {"jobName": "counting"}, given)
        wait_for(lambda: live.run_status(run_id) == "FAILURE", 120, "the run with the pickle")
        assert not sign.exists()


@pytest.mark.parametrize(
    "place", ["file:///etc", "/etc", "SECRETS", "mlflow-artifacts:/../../secrets"]
)
def test_an_experiment_keeps_its_artifacts_in_mlflow_only(stack, place):
    place = place.replace("SECRETS", (stack.home / "secrets").as_uri())
    for path in (CREATE, CREATE.replace("/api/", "/ajax-api/")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            stack.web("MLFLOW_PORT", path, {"name": f"{path} {place}", "artifact_location": place})
        assert refused.value.code == 400
        assert "Artifacts may not be kept at" in json.load(refused.value)["message"]


def test_an_experiment_without_a_place_and_one_in_mlflow_work(stack):
    for name, more in (
        ("plain", {}),
        ("placed", {"artifact_location": "mlflow-artifacts:/team/x"}),
    ):
        made = json.loads(stack.web("MLFLOW_PORT", CREATE, {"name": f"{name} artifacts"} | more))
        assert made["experiment_id"]


UPWARDS = (
    *("../../secrets/x", "%2e%2e/%2e%2e/secrets/x", "a/..%2f..%2f..%2fsecrets/x", "%2Fetc/dagma-x"),
    *("..%5c..%5csecrets%5cx", "%252e%252e/%252e%252e/secrets/x", "file:%2F%2F%2Fetc%2Fdagma-x"),
)


@pytest.mark.parametrize("path", UPWARDS)
def test_nothing_is_uploaded_outside_of_mlflow_s_folder(stack, path):
    sign = f"planted by {path}".encode()
    with suppress(
        urllib.error.HTTPError
    ):  # a backslash is a letter of a name, which may be written
        stack.web("MLFLOW_PORT", f"{PROXY}/{path}", sign, "PUT")
    small = [file for file in stack.base.rglob("*") if file.is_file() and file.stat().st_size < 100]
    written = [file for file in small if file.read_bytes() == sign]
    assert all(file.is_relative_to(stack.home / "mlflow/artifacts") for file in written)
    assert not Path("/etc/dagma-x").exists()
