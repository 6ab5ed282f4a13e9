"""Whether client and server fit, and where the dashboard is."""

import urllib.request
from importlib.metadata import version

import pytest
import qdrant_server
from qdrant_client.common import version_check
from qdrant_server import says

from dagma.stack import settings, topology
from dagma.stack.control import Stack
from dagma.stack.services import qdrant

CLIENT = version("qdrant-client")
QDRANT = qdrant.Qdrant()
MINOR = int(CLIENT.split(".")[1])
OLD, NEAR, NEW = f"1.{MINOR - 2}.3", f"1.{MINOR - 1}.3", f"1.{MINOR + 2}.0"


@pytest.fixture
def loaded(tmp_path):
    def loaded(**environ):
        return settings.load({"DAGMA_HOME": str(tmp_path / "h"), **environ})

    return loaded


@pytest.mark.parametrize(
    "server", ["1.20.0", "1.19.3", "1.21.0-dev", "1.18.9", "1.22.0", "2.20.0", "0.20.0", "", "x"]
)
def test_what_fits_is_what_the_client_itself_says(server):
    assert qdrant.fits(server, "1.20.0") == version_check.is_compatible("1.20.0", server)


@pytest.mark.parametrize("server", [OLD, NEW, f"2.{MINOR}.0"])
def test_a_server_that_does_not_fit_is_a_sentence_with_what_would(loaded, server):
    with says({"title": "qdrant", "version": server}) as url:
        said = QDRANT.problem(loaded(QDRANT_URL=f"{url}/"), [])
    assert said.startswith(
        f"Qdrant's server at {url} is {server}, which does not fit the client {CLIENT}: "
    )
    assert f" of 1.{MINOR - 1} to 1.{MINOR + 1}. " in said


def test_one_that_fits_is_none(loaded):
    with says({"title": "qdrant", "version": NEAR}) as url:
        assert QDRANT.problem(loaded(QDRANT_URL=url), []) is None


@pytest.mark.parametrize("answer", [[], {}, {"version": 1.1}, {"version": "x"}, "qdrant"])
def test_what_is_no_qdrant_is_left_to_those_who_use_it(loaded, answer):
    with says(answer) as url:
        assert QDRANT.problem(loaded(QDRANT_URL=url), []) is None


def test_the_stacks_own_server_is_asked_where_it_runs_and_no_other_is_named(loaded):
    with says({"version": OLD}) as own, says({"version": NEAR}) as other:
        port = own.rpartition(":")[2]
        assert own in QDRANT.problem(loaded(QDRANT_PORT=port), ["postgres", "qdrant"])
        assert QDRANT.problem(loaded(QDRANT_PORT=port), ["postgres"]) is None
        assert QDRANT.problem(loaded(QDRANT_PORT=port, QDRANT_URL=other), ["qdrant"]) is None


def test_a_proxy_that_the_environment_named_once_is_not_kept(loaded, monkeypatch):
    kept = urllib.request.build_opener(urllib.request.ProxyHandler({"http": "http://127.0.0.1:1"}))
    monkeypatch.setattr(urllib.request, "_opener", kept)
    with says({"title": "qdrant", "version": NEAR}) as url:
        assert qdrant.Server(loaded(), url).version() == NEAR


def test_a_password_in_the_address_is_not_shown(loaded):
    server = qdrant.Server(loaded(), "http://me:secret@127.0.0.1:1/")
    assert server.shown == "http://***@127.0.0.1:1"
    assert server.version() is None


def found(loaded):
    """What `dagma doctor` says of Qdrant."""
    [finding] = QDRANT.examine(Stack(loaded))
    return finding.verdict, finding.text


def test_doctor_asks_the_program_for_its_version(loaded, program):
    named = {"DAGMA_QDRANT_BIN": str(program("its-server", f"echo qdrant {NEAR}"))}
    path = named["DAGMA_QDRANT_BIN"]
    assert found(loaded(**named)) == (
        "OK",
        f"Qdrant's server {path} is {NEAR}, which fits the client.",
    )
    program("its-server", f"echo qdrant {OLD}")
    verdict, text = found(loaded(**named))
    assert verdict == "WARN"
    assert text.startswith(f"Qdrant's server {path} is {OLD}, which does not fit the client")
    program("its-server", "exit 1")
    assert found(loaded(**named)) == ("WARN", f"Qdrant's server {path} does not tell its version.")


def test_doctor_asks_the_server_that_the_assets_ask(loaded):
    with says({"version": OLD}) as url:
        verdict, text = found(loaded(QDRANT_URL=url))
    assert (verdict, f"at {url} is {OLD}, which does not fit" in text) == ("WARN", True)
    text = f"Qdrant's server at {url} does not tell its version."
    assert found(loaded(QDRANT_URL=url)) == ("WARN", text)


@pytest.mark.skipif(qdrant_server.PROGRAM is not None, reason="there is a qdrant program")
def test_doctor_names_the_embedded_engine_where_there_is_no_server(loaded):
    text = "No qdrant server: assets use the embedded engine in QDRANT_PATH."
    assert found(loaded()) == ("WARN", text)


@qdrant_server.needs_qdrant
def test_a_real_program_and_its_server_say_the_same(loaded, tmp_path):
    known = qdrant.program_version(qdrant_server.PROGRAM)
    with qdrant_server.a_server(tmp_path, QDRANT__SERVICE__API_KEY="k") as url:
        assert qdrant.Server(loaded(), url).version() == known


def test_the_address_is_the_dashboards_only_where_its_files_are(loaded, tmp_path):
    own, elsewhere = tmp_path / "h/qdrant/static", tmp_path / "ui"
    set_ = loaded(QDRANT__SERVICE__STATIC_CONTENT_DIR=str(elsewhere)).settings
    for chosen, folder in ((loaded().settings, own), (set_, elsewhere)):
        assert topology.url("qdrant", chosen) == "http://127.0.0.1:6333"
        folder.mkdir(parents=True)
        assert topology.url("qdrant", chosen) == "http://127.0.0.1:6333"
        (folder / "index.html").touch()
        assert topology.url("qdrant", chosen) == "http://127.0.0.1:6333/dashboard"
    assert topology.url("mlflow", chosen) == "http://127.0.0.1:5000"
