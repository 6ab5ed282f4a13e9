"""Qdrant's server in the stack: what the assets publish, backup and restore, a kill; and without one."""

import json
import os
import shutil
import signal
import urllib.error
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import attacks
import pytest
from live_stack import LONG, a_stack, wait_for
from qdrant_client.common.version_check import is_compatible
from qdrant_server import PROGRAM, needs_qdrant

from dagma.kit.vectors.qdrant import QdrantResource

#: Of the code location in small_model.py.
ASSETS = ("ingredient_embedding_model", "ingredient_vectors", "similar_ingredients")
KEY = "QDRANT__SERVICE__API_KEY"
#: Enough that a kill meets the upsert of them.
MANY = 30_000


@pytest.fixture(scope="module")
def live():
    """The group vector with a server, and a small model to publish."""
    with a_small_model() as live:
        live.said = live.dagma("up", "-d", "vector")
        yield live


@contextmanager
def a_small_model(**settings):
    with a_stack(DAGMA_CODE_MODULE="small_model", **settings) as live:
        shutil.copy(Path(__file__).with_name("small_model.py"), live.work)
        yield live


def publish(live, **config):
    """Publish a model in a run; the run's id."""
    ops = {"ops": {"ingredient_embedding_model": {"config": config}}}
    return live.launch_assets(ASSETS, ops)


def ask(live, path, body=None):
    """What the server answers to who has its key."""
    key = {"api-key": live.settings[KEY]} if KEY in live.settings else None
    return json.loads(live.web("QDRANT_PORT", path, body, headers=key))["result"]


def published(live):
    """The collection that the alias points to."""
    [alias] = ask(live, "/aliases")["aliases"]
    assert alias["alias_name"] == "ingredients"
    return alias["collection_name"]


def points(live, collection="ingredients"):
    """Every point: id -> vector and payload."""
    everything = {"limit": 10**6, "with_vector": True}
    found = ask(live, f"/collections/{collection}/points/scroll", everything)["points"]
    return {point["id"]: (point["vector"], point["payload"]) for point in found}


def neighbours(live):
    """The table that the asset made."""
    import pandas as pd

    return pd.read_parquet(live.home / "dagster/storage/similar_ingredients.parquet")


@needs_qdrant
def test_the_server_is_healthy_and_its_address_is_a_page_that_is_there(live):
    address = f"http://127.0.0.1:{live.ports['QDRANT_PORT']}"
    assert f"  {address}\n" in live.said
    assert json.loads(live.web("QDRANT_PORT", "/"))["title"].startswith("qdrant")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        live.web("QDRANT_PORT", "/dashboard")

    files = Path(os.environ.get("QDRANT__SERVICE__STATIC_CONTENT_DIR", live.base / "none"))
    own = live.home / "qdrant/static"
    if files.is_dir():
        own.symlink_to(files)
    else:
        own.mkdir()
        (own / "index.html").write_text("<html>a dashboard</html>")
    assert f"  {address}/dashboard\n" in live.dagma("restart", "qdrant")
    assert b"<html" in live.web("QDRANT_PORT", "/dashboard")


@needs_qdrant
def test_what_does_not_fit_is_said_at_the_start_and_by_doctor(live):
    server = json.loads(live.web("QDRANT_PORT", "/"))["version"]
    client = version("qdrant-client")
    sentence = f"is {server}, which does not fit the client {client}"
    fits = is_compatible(client, server)
    assert (sentence in live.said) != fits
    doctor = live.run("doctor")[1]
    assert (f" {sentence}" in doctor) != fits
    assert (f" is {server}, which fits the client." in doctor) == fits


@needs_qdrant
def test_it_listens_on_loopback_and_reports_to_nobody(live):
    [server] = live.processes(Path(PROGRAM).name)
    listening = {c.laddr.ip for c in server.net_connections() if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    assert "Telemetry reporting disabled" in (live.home / "logs/qdrant.log").read_text()


@needs_qdrant
def test_a_page_of_another_site_reads_nothing(live):
    port, foreign = live.ports["QDRANT_PORT"], {"Origin": "http://attacker.example"}
    assert "Access-Control-Allow-Origin" not in attacks.ask(port, "/collections", foreign).headers
    asks = foreign | {"Access-Control-Request-Method": "DELETE"}
    assert attacks.ask(port, "/collections/ingredients", asks, "OPTIONS").status == 404


@needs_qdrant
def test_assets_publish_a_model_and_find_neighbours_and_another_model_takes_the_alias(live):
    live.wait_for_success(publish(live, seed=1))
    first = published(live)
    assert len(points(live)) == 300
    found = neighbours(live)
    assert len(found) == 20 * 5
    assert found["ingredient"].iloc[0] == "ingredient 0"
    assert (found["ingredient"] != found["neighbour"]).all()

    live.wait_for_success(publish(live, seed=2))
    second = published(live)
    assert second != first
    assert {c["name"] for c in ask(live, "/collections")["collections"]} == {first, second}
    live.wait_for_success(publish(live, seed=2))
    assert published(live) == second


@needs_qdrant
def test_the_group_full_takes_it_in_and_vectors_survive_a_restart(live):
    before = points(live)
    assert "Added to the running stack" in live.dagma("up", "-d", "full")
    assert live.status().keys() >= {"mlflow", "qdrant"}
    live.dagma("restart", "qdrant")
    assert points(live) == before
    assert "Everything is stopped" in live.dagma("down")
    live.dagma("up", "-d", "full")
    assert points(live) == before


@needs_qdrant
def test_killed_in_the_middle_of_an_upsert_it_comes_back_and_nothing_published_is_lost(live):
    before, alias = points(live), published(live)
    known = {c["name"] for c in ask(live, "/collections")["collections"]}
    run = publish(live, seed=3, ingredients=MANY)

    def half_filled():
        for new in {c["name"] for c in ask(live, "/collections")["collections"]} - known:
            count = ask(live, f"/collections/{new}/points/count", {"exact": True})["count"]
            if count:
                assert count < MANY, "it was over before the kill"
                return new
        return None

    new = wait_for(half_filled, LONG, "points in a new collection")
    server = live.status()["qdrant"]
    os.kill(server["pid"], signal.SIGKILL)
    wait_for(lambda: live.run_status(run) == "FAILURE", LONG, "the end of the run")
    [said] = live.rows(
        "SELECT event FROM event_logs WHERE run_id = %s AND dagster_event_type = 'STEP_FAILURE'",
        run,
    )
    assert "Qdrant does not answer at" in said[0]
    assert live.wait_healthy("qdrant", LONG)["restarts"] == server["restarts"] + 1
    assert published(live) == alias
    assert points(live) == before

    live.wait_for_success(publish(live, seed=3, ingredients=MANY), LONG)
    assert published(live) == new
    assert len(points(live)) == MANY


@needs_qdrant
def test_a_snapshot_is_in_the_backup_and_restored_elsewhere_behind_a_key(live):
    before, alias = points(live), published(live)
    assert "Took a snapshot of Qdrant's server: " in live.dagma("backup")
    snapshots = live.home / "qdrant/snapshots"
    assert [path for path in snapshots.rglob("*") if path.is_file()] == []
    [archive] = live.backups.glob("*.tar")
    with a_small_model(**{KEY: "a key"}) as other:
        said = other.dagma("restore", str(archive))
        assert "Restored the vectors of Qdrant's server." in said
        other.dagma("up", "-d", "vector")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            other.web("QDRANT_PORT", "/aliases")
        assert published(other) == alias
        assert points(other) == before
        other.wait_for_success(publish(other, seed=4))
        assert len(points(other)) == 300
        assert "Took a snapshot of Qdrant's server: " in other.dagma("backup")
        other.settings[KEY] = "another key"
        said = other.dagma("backup", fails=True)
        assert "Qdrant's server gives no snapshot: HTTP Error 401: Unauthorized; " in said


@needs_qdrant
def test_its_server_asks_for_the_token_and_the_platform_has_it(monkeypatch):
    with a_small_model(DAGMA_TOKEN="on") as live:
        live.dagma("up", "-d", "vector")
        port = live.ports["QDRANT_PORT"]
        for headers in ({}, {"api-key": "wrong"}, {"Authorization": "Bearer wrong"}):
            assert attacks.ask(port, "/collections", headers).status == 401
        for name, value in live.exports().items():
            monkeypatch.setenv(name, value)
        with QdrantResource(url=f"http://127.0.0.1:{port}").connect() as client:
            assert client.get_collections().collections == []
        assert "Took a snapshot of Qdrant's server: " in live.dagma("backup")
        [server] = live.processes(Path(PROGRAM).name)
        told = [*server.cmdline(), *server.environ().values()]
        told += [path.read_text(errors="replace") for path in (live.home / "logs").iterdir()]
        token = (live.home / "secrets/token").read_text()
        assert not [text for text in told if token in text]


@pytest.mark.skipif(PROGRAM is not None, reason="there is a qdrant program")
def test_without_a_server_the_stack_says_so_and_points_to_the_embedded_engine(stack):
    said = stack.dagma("up", "-d", "ml")
    assert said.startswith("qdrant is left out: there is no qdrant program")
    assert "qdrant" not in stack.status()
    exports = stack.exports()
    assert exports["QDRANT_PATH"] == f"{stack.home}/qdrant/embedded"
    assert "QDRANT_URL" not in exports
