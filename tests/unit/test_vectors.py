import gc
import re
import subprocess
import sys
import threading
from base64 import b64decode
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import portalocker
import pytest
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_server import a_server, needs_qdrant, says

from dagma.defs.vectors import assets, collection
from dagma.defs.vectors.assets import ingredient_vectors, similar_ingredients
from dagma.kit.io.parquet import ParquetIOManager
from dagma.kit.vectors.qdrant import KEY, QdrantResource

# The embedded engine leaves to the garbage collector: SQLite connections of its first question to
# SQLite and of dropped collections; all that it had opened when it found itself locked out.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def garbage():
    """Collects them while the mark holds, not at the end of all tests."""
    yield
    gc.collect()


PAGE = (Path(__file__).parents[2] / "docs/vectors.md").read_text()
NAMES = ["salt", "sugar", "flour", "garlic"]
#: Sugar is nearest to flour; salt to garlic.
VECTORS = [[1.0, 0.1], [0.0, 1.0], [0.1, 1.0], [1.0, 0.0]]


def model(vectors=VECTORS, names=NAMES):
    return pd.DataFrame(
        {
            "ingredient": names,
            "recipes": range(len(names), 0, -1),
            "vector": [np.array(vector, dtype=np.float32) for vector in vectors],
        }
    )


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The address of a real server, started once; its key is what the resource has to send."""
    with a_server(tmp_path_factory.mktemp("qdrant"), **{KEY: "k"}) as url:
        yield url


@pytest.fixture
def embedded(tmp_path):
    return QdrantResource(path=str(tmp_path / "q"))


@pytest.fixture(params=["embedded", pytest.param("server", marks=needs_qdrant)])
def qdrant(request, monkeypatch):
    """The embedded engine, and a server without collections."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded")
        return
    monkeypatch.setenv(KEY, "k")
    resource = QdrantResource(url=request.getfixturevalue("server"))
    yield resource
    with resource.connect() as client:
        for name in names(client):
            client.delete_collection(name)


@pytest.fixture
def client(qdrant):
    with qdrant.connect() as client:
        yield client


@pytest.fixture
def run(tmp_path):
    def run(qdrant, frame=None, **config):
        @dg.asset
        def ingredient_embedding_model():
            return model() if frame is None else frame

        with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
            return dg.materialize(
                [ingredient_embedding_model, ingredient_vectors, similar_ingredients],
                instance=instance,
                resources={
                    "qdrant": qdrant,
                    "io_manager": dg.FilesystemIOManager(),
                    "parquet_io_manager": ParquetIOManager(),
                },
                run_config={"ops": {"similar_ingredients": {"config": config}}},
                raise_on_error=False,
            )

    return run


def failure(result):
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.user_failure_data.description


def names(client):
    return {c.name for c in client.get_collections().collections}


def test_neighbours_are_a_table_in_the_order_of_the_most_frequent(run, qdrant):
    result = run(qdrant, ingredients=2, neighbours=1)
    table = result.output_for_node("similar_ingredients")
    assert list(table.columns) == list(assets.COLUMNS)
    assert table[["ingredient", "rank", "neighbour"]].to_numpy().tolist() == [
        ["salt", 1, "garlic"],
        ["sugar", 1, "flour"],
    ]
    assert table["similarity"].tolist() == pytest.approx([1 / np.hypot(1, 0.1)] * 2)
    (event,) = result.asset_materializations_for_node("similar_ingredients")
    assert event.metadata["neighbours"].value.splitlines()[2] == "| salt | garlic 1.00 |"
    (data,) = re.findall(
        r"^!\[neighbours\]\(data:image/png;base64,(.*)\)$", event.metadata["picture"].value
    )
    assert b64decode(data).startswith(b"\x89PNG")


def test_the_vectors_tell_where_they_are(run, qdrant):
    (event,) = run(qdrant).asset_materializations_for_node("ingredient_vectors")
    metadata = {key: value.value for key, value in event.metadata.items()}
    assert metadata["dagster/row_count"] == 4
    assert metadata["alias"] == "ingredients"
    assert metadata["collection"].startswith("ingredients-")
    assert metadata["qdrant"] == qdrant.place


def test_the_same_model_again_changes_nothing(client):
    first, second = collection.publish(client, model()), collection.publish(client, model())
    assert second == first
    assert names(client) == {first.collection}
    assert client.count(collection.ALIAS).count == 4


def test_batches_make_the_collection_whole(client, monkeypatch):
    monkeypatch.setattr(collection, "BATCH", 3)
    sizes = []
    upsert = client.upsert
    monkeypatch.setattr(
        client, "upsert", lambda *a, **k: (sizes.append(len(a[1])), upsert(*a, **k))
    )
    assert collection.publish(client, model()).points == 4
    assert sizes == [3, 1]
    assert len(collection.neighbours(client, 10, 1)) == 4


def test_rare_ingredients_are_no_neighbours(client):
    collection.publish(client, model())
    counts = dict(zip(NAMES, range(len(NAMES), 0, -1), strict=True))
    found = {row[2] for row in collection.neighbours(client, 4, 4, min_share=0.5)}
    assert found == {name for name, count in counts.items() if count >= 2}
    assert {row[2] for row in collection.neighbours(client, 4, 4)} == set(NAMES)


def test_a_new_model_is_a_new_collection_and_only_the_last_one_stays(client):
    published = [collection.publish(client, model([[1, i], *VECTORS[1:]])) for i in range(3)]
    first, second, third = (p.collection for p in published)
    assert len({first, second, third}) == 3
    assert collection.target(client) == third
    assert names(client) == {second, third}
    assert (published[2].previous, published[2].dropped) == (second, [first])


def test_other_collections_are_left_alone(client):
    from qdrant_client.models import Distance, VectorParams

    client.create_collection("mine", VectorParams(size=2, distance=Distance.DOT))
    for i in range(3):
        collection.publish(client, model([[1, i], *VECTORS[1:]]))
    assert "mine" in names(client)


def test_readers_see_the_old_model_until_the_new_one_is_complete(client, monkeypatch):
    old = collection.publish(client, model()).collection
    new = model([[0.5, 0.5], *VECTORS[1:]])
    upsert, seen = client.upsert, []

    def watch(*args, **kwargs):
        seen.append(collection.target(client))
        return upsert(*args, **kwargs)

    monkeypatch.setattr(collection, "BATCH", 1)
    monkeypatch.setattr(client, "upsert", watch)
    published = collection.publish(client, new)
    assert seen == [old] * 4
    assert collection.target(client) == published.collection


def test_what_a_killed_run_left_half_filled_is_completed(client, monkeypatch):
    old = collection.publish(client, model()).collection
    new = model([[0.5, 0.5], *VECTORS[1:]])
    with monkeypatch.context() as patch:
        patch.setattr(collection, "_points", lambda frame: iter(POINTS(frame)[:2]))
        with pytest.raises(dg.Failure, match="has 2 points of 4; the alias ingredients still"):
            collection.publish(client, new)
    assert collection.target(client) == old
    assert collection.publish(client, new).points == 4
    assert collection.target(client) != old


def POINTS(frame, make=collection._points):
    return list(make(frame))


def test_neighbours_without_vectors_say_what_to_materialize(client):
    with pytest.raises(dg.Failure, match="no alias ingredients: materialize ingredient_vectors"):
        collection.neighbours(client, 1, 1)


def test_without_an_address_it_says_what_to_set(run):
    assert failure(run(QdrantResource())).startswith("Neither QDRANT_URL nor QDRANT_PATH is set")


def test_a_server_that_does_not_answer_is_named_with_its_setting(run):
    said = failure(run(QdrantResource(url="http://127.0.0.1:1")))
    assert said.startswith("Qdrant does not answer at http://127.0.0.1:1 (QDRANT_URL): ")


@pytest.fixture(params=["answers", pytest.param("server", marks=needs_qdrant)])
def guarded(request):
    """The address of what wants a key: what answers only so, and the real server."""
    if request.param == "server":
        yield request.getfixturevalue("server")
        return
    with says({"result": {"aliases": []}}, key="k") as url:
        yield url


@pytest.mark.parametrize("key", ["", "another"])
def test_a_server_that_wants_another_key_is_named_with_its_setting(guarded, monkeypatch, key):
    monkeypatch.setenv(KEY, key)
    resource = QdrantResource(url=guarded)
    with pytest.raises(dg.Failure) as caught, resource.connect() as client:
        collection.target(client)
    assert str(caught.value).startswith(f"Qdrant at {guarded} (QDRANT_URL) refuses its use: ")
    assert str(caught.value).endswith(f". Set its key as {KEY}.")


def test_the_key_is_sent(guarded, monkeypatch):
    monkeypatch.setenv(KEY, "k")
    with QdrantResource(url=guarded).connect() as client:
        assert collection.target(client) == ""


@pytest.mark.parametrize(("port_setting", "sent"), [("QDRANT_PORT", "right"), ("OTHER", None)])
def test_the_stacks_own_server_gets_the_token_and_no_other(
    tmp_path, monkeypatch, port_setting, sent
):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers["api-key"])
            self.send_error(404)

        def log_message(self, format, *args):
            pass

    (tmp_path / "token").write_text("right")
    monkeypatch.setenv("DAGMA_TOKEN_FILE", str(tmp_path / "token"))
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        monkeypatch.setenv(port_setting, str(server.server_port))
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with QdrantResource(url=url).connect() as client, pytest.raises(UnexpectedResponse):
            client.get_collections()
    assert asked == [sent]


def test_a_path_that_cannot_be_used_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    said = failure(run(QdrantResource(path=str(tmp_path / "file"))))
    assert said.startswith(f"QDRANT_PATH is {tmp_path}/file, which cannot be used: ")


HOLDERS = {
    "an asset": "from dagma.kit.vectors.qdrant import QdrantResource as R\n"
    "with R(path=sys.argv[1]).connect(): hold()",
    "another program": "from qdrant_client import QdrantClient\n"
    "client = QdrantClient(path=sys.argv[1]); hold()",
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_two_processes_on_the_embedded_engine_are_an_error_and_no_damage(run, embedded, holder):
    assert run(embedded).success
    code = f"import sys\ndef hold():\n    print(flush=True); sys.stdin.read()\n{HOLDERS[holder]}"
    command = [sys.executable, "-c", code, embedded.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        said = failure(run(embedded, model([[0.5, 0.5], *VECTORS[1:]])))
        process.stdin.close()
    assert f"has the embedded Qdrant at {embedded.path} (QDRANT_PATH) open" in said
    assert "start a Qdrant server and set QDRANT_URL" in said
    result = run(embedded)
    assert result.success
    assert len(result.output_for_node("similar_ingredients")) == 12


def test_who_opens_it_while_another_is_about_to_close_it_is_refused(embedded, monkeypatch):
    with ExitStack() as stack:
        client = stack.enter_context(embedded.connect())

        def late(*arguments):
            # The engine has read its list of collections by now. What comes here, it would not
            # know, and leave out when it writes the list back.
            collection.publish(client, model())
            stack.close()
            return lock(*arguments)

        lock = portalocker.lock
        monkeypatch.setattr(portalocker, "lock", late)
        with pytest.raises(dg.Failure, match="QDRANT_PATH"), embedded.connect():
            pass


def test_the_page_lists_the_columns():
    listed = re.findall(r"^\| `(\w+)` \| \w+ \|", PAGE, re.MULTILINE)
    assert listed == list(assets.COLUMNS)


def test_the_example_of_the_page_finds_neighbours(run, qdrant, monkeypatch, capsys):
    run(qdrant, model(names=["garlic", "onion", "sugar", "flour"]))
    monkeypatch.setenv("QDRANT_PATH", qdrant.path)
    monkeypatch.setenv("QDRANT_URL", qdrant.url)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example, {})
    assert capsys.readouterr().out.splitlines()[0].split()[0] == "flour"
