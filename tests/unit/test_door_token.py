import pytest

from dagma.door import token


def environ(tmp_path, text="right", **more):
    (tmp_path / "token").write_text(text)
    return {"DAGMA_TOKEN_FILE": str(tmp_path / "token"), "MLFLOW_PORT": "5000"} | more


def test_a_file_that_was_named_has_to_hold_a_token(tmp_path):
    assert token.read(environ(tmp_path)) == "right"
    assert token.read({}) is None
    assert token.read({"DAGMA_TOKEN_FILE": ""}) is None
    with pytest.raises(RuntimeError, match=r"DAGMA_TOKEN_FILE.* is empty"):
        token.read(environ(tmp_path, "\n"))
    with pytest.raises(FileNotFoundError):
        token.read({"DAGMA_TOKEN_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000/x", "http://localhost:5000"])
def test_the_stacks_own_servers_get_it(tmp_path, url):
    assert token.for_server(url, environ(tmp_path)) == "right"


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:5001/", "http://attacker.example:5000/", "http://127.0.0.1/", ""),
        *("http://127.0.0.1:5000@attacker.example/", "http://127.0.0.1.attacker.example:5000/"),
    ],
)
def test_no_other_server_gets_it(tmp_path, url):
    assert token.for_server(url, environ(tmp_path)) is None


def test_where_nothing_asks_for_it_nobody_gets_it(tmp_path):
    assert token.for_server("http://127.0.0.1:5000", {"MLFLOW_PORT": "5000"}) is None
