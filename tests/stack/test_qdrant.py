import json
import shutil

import pytest
from live_stack import a_stack

needs_server = pytest.mark.skipif(
    shutil.which("qdrant") is None, reason="no qdrant program on PATH: its server is not tested"
)


@needs_server
def test_vectors_survive_a_restart():
    with a_stack() as live:
        live.dagma("up", "-d", "vector")
        vectors = {"vectors": {"size": 2, "distance": "Dot"}}
        live.web("QDRANT_PORT", "/collections/c", vectors, method="PUT")
        point = {"points": [{"id": 1, "vector": [0.0, 1.0]}]}
        live.web("QDRANT_PORT", "/collections/c/points?wait=true", point, method="PUT")
        live.dagma("restart", "qdrant")
        answer = json.loads(live.web("QDRANT_PORT", "/collections/c"))
        assert answer["result"]["points_count"] == 1


@pytest.mark.skipif(shutil.which("qdrant") is not None, reason="there is a qdrant program")
def test_without_a_server_the_stack_says_so_and_points_to_the_embedded_engine(stack):
    said = stack.dagma("up", "-d", "ml")
    assert said.startswith("qdrant is left out: there is no qdrant program")
    assert "qdrant" not in stack.status()
    exports = stack.exports()
    assert exports["QDRANT_PATH"] == f"{stack.home}/qdrant/embedded"
    assert "QDRANT_URL" not in exports
