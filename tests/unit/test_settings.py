import pytest

from dagma import values
from dagma.errors import DagmaError, SettingsError
from dagma.stack import settings

#: A line of .env, and what the sentence about it must contain.
MISTAKES = {
    "unknown setting of ours": ("DAGMA_COLOUR=red", "DAGMA_COLOUR in line 1"),
    "slip in our name": ("DAGMA_HOMEE=x", "did you mean DAGMA_HOME?"),
    "slip in a product's name": ("MLFLOW_PROT=5000", "did you mean MLFLOW_PORT?"),
    "one letter too many": ("DAGSTER_WEBSERVER_PORTS=1", "did you mean DAGSTER_WEBSERVER_PORT?"),
    "small letters": ("postgres_port=5432", "did you mean POSTGRES_PORT?"),
    "no number": ("MLFLOW_PORT=http", "MLFLOW_PORT is 'http'"),
    "a fraction": ("MLFLOW_WORKERS=1.5", "MLFLOW_WORKERS is '1.5'"),
    "digits with an underscore": ("POSTGRES_PORT=5_432", "POSTGRES_PORT is '5_432'"),
    "port too large": ("USER_CODE_PORT=70000", "from 1 to 65535"),
    "port zero": ("QDRANT_PORT=0", "QDRANT_PORT is '0'"),
    "one port for two": (
        "MLFLOW_PORT=3000",
        "DAGSTER_WEBSERVER_PORT and MLFLOW_PORT are both 3000",
    ),
    "empty": ("POSTGRES_DB=", "POSTGRES_DB in .env is empty"),
    "no value": ("DAGMA_HOST", "DAGMA_HOST in line 1 of .env has no ="),
    "no assignment": ("export me please", "Line 1 of .env is not of the form"),
    "open quote": ("X='never closed", "Line 1 of .env is not of the form"),
    "twice": (
        "POSTGRES_PORT=1\n\n# x\nPOSTGRES_PORT=2",
        "POSTGRES_PORT is set twice in .env, in lines 1 and 4",
    ),
    "no address": ("DAGMA_HOST=my.host", "DAGMA_HOST is 'my.host'"),
    "no truth": ("DAGMA_LOCKED=perhaps", "true or false"),
    "no choice": ("DAGMA_PACKAGES=debian", "auto, nixpkgs or registry"),
    "no way to degrade": ("DAGMA_MLFLOW_UNREACHABLE=skip", "stub or fail"),
    "no module": ("DAGMA_CODE_MODULE=a-b", "DAGMA_CODE_MODULE is 'a-b'"),
    "a key that opens to all": (
        "QDRANT__SERVICE__API_KEY=",
        "QDRANT__SERVICE__API_KEY in .env is empty",
    ),
    "no url": ("QDRANT_URL=localhost:6333", "QDRANT_URL is 'localhost:6333'"),
    "path that Dagster takes for a pattern": ("DAGMA_HOME=/[x]", "DAGMA_HOME is '/[x]'"),
    "instance that Dagster takes for a pattern": ("DAGSTER_HOME=/a?", "DAGSTER_HOME is '/a?'"),
    "quote in a path": ('DAGMA_HOME=/a"b', "DAGMA_HOME is"),
    "database of the stack": ("POSTGRES_DB=mlflow", "POSTGRES_DB is 'mlflow'"),
    "role of the stack": ("POSTGRES_USER=postgres", "POSTGRES_USER is 'postgres'"),
    "role that PostgreSQL reserves": ("POSTGRES_USER=pg_me", "POSTGRES_USER is 'pg_me'"),
    "no zone": ("DAGMA_TIMEZONE=Mars/Olympus", "DAGMA_TIMEZONE is 'Mars/Olympus'"),
    "a zone outside": ("DAGMA_TIMEZONE=../../etc/passwd", "DAGMA_TIMEZONE is"),
    "no time": ("DAGMA_NIGHTLY_AT=24:00", "DAGMA_NIGHTLY_AT is '24:00'"),
    "no retention": ("DAGMA_RETENTION_DAYS=0", "whole number of days"),
    "no format": ("DAGMA_WEBHOOK_FORMAT=xml", "json, slack or wecom"),
    "endless start": ("DAGMA_START_TIMEOUT=99999", "DAGMA_START_TIMEOUT is '99999'"),
}


def load(directory, text=None, **environ):
    if text is not None:
        (directory / ".env").write_text(text)
    return settings.load(environ, directory)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_env_is_one_sentence_that_names_the_setting(tmp_path, mistake):
    text, expected = MISTAKES[mistake]
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    sentence = str(caught.value)
    assert expected in sentence
    assert sentence[-1] in ".?"
    assert "\n" not in sentence
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_a_current_directory_that_no_state_can_be_in_is_one_sentence(tmp_path, monkeypatch):
    (here := tmp_path / "[x]").mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(SettingsError) as caught:
        load(here)
    assert f"DAGMA_HOME is '{here}/.dagma' by default, but it must be" in str(caught.value)


def test_of_a_long_value_the_beginning_is_shown(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f"POSTGRES_PORT={'9' * 100_000}")
    assert len(str(caught.value)) < 400


def test_an_empty_key_in_the_environment_is_one_too(tmp_path):
    with pytest.raises(SettingsError, match="QDRANT__SERVICE__API_KEY in the environment is empty"):
        load(tmp_path, QDRANT__SERVICE__API_KEY="")


def test_without_anything_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = load(tmp_path).settings
    ports = (chosen.postgres_port, chosen.webserver_port, chosen.user_code_port)
    assert ports == (5432, 3000, None)
    assert (chosen.mlflow_port, chosen.qdrant_port) == (5000, 6333)
    assert chosen.home == tmp_path / ".dagma"
    assert chosen.host == "127.0.0.1"


def test_the_environment_wins_over_the_file(tmp_path):
    assert load(tmp_path, "MLFLOW_PORT=1111", MLFLOW_PORT="2222").settings.mlflow_port == 2222


def test_values_are_literal(tmp_path):
    text = "POSTGRES_PASSWORD=a$HOME${X}'b\nA='single $x'\nB=\"double # \\n\" # comment\n"
    loaded = load(tmp_path, text)
    assert loaded.settings.postgres_password == "a$HOME${X}'b"
    assert loaded.extra == {"A": "single $x", "B": "double # \n"}


def test_variables_of_the_products_and_of_the_user_pass(tmp_path):
    text = (
        "MLFLOW_HTTP_REQUEST_TIMEOUT=5\nDAGSTER_WEBSERVER_HOST=x\nQDRANT__LOG_LEVEL=INFO\nMINE=1\n"
    )
    assert set(load(tmp_path, text).extra) == {
        "MLFLOW_HTTP_REQUEST_TIMEOUT", "DAGSTER_WEBSERVER_HOST", "QDRANT__LOG_LEVEL", "MINE",
    }  # fmt: skip


def test_an_unknown_dagma_variable_in_the_environment_is_a_mistake(tmp_path):
    with pytest.raises(SettingsError, match=r"DAGMA_HOEM in the environment .* DAGMA_HOME"):
        load(tmp_path, DAGMA_HOEM="x")


def test_what_dagma_hands_down_to_services_is_none(tmp_path):
    load(tmp_path, **dict.fromkeys(settings.HANDED_DOWN, "x"))


def test_an_empty_variable_in_the_environment_is_a_mistake(tmp_path):
    with pytest.raises(SettingsError, match="MLFLOW_PORT in the environment is empty"):
        load(tmp_path, MLFLOW_PORT="")


def test_the_value_of_a_password_is_never_shown(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, POSTGRES_PASSWORD="se\ncret")
    assert "se" not in str(caught.value).split("POSTGRES_PASSWORD")[1].split("but")[0]
    assert "cret" not in str(caught.value)
    chosen = load(tmp_path, POSTGRES_PASSWORD="se-cret").settings
    assert "se-cret" not in repr(chosen)


def test_a_password_in_a_wrong_url_is_not_shown(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, QDRANT_URL="htp://me:secret@host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_an_unreadable_file_is_one_sentence(tmp_path, content):
    if content is None:
        (tmp_path / ".env").mkdir()
    else:
        (tmp_path / ".env").write_bytes(content)
    with pytest.raises(DagmaError, match=r"The file \.env cannot be read"):
        load(tmp_path)


def test_every_setting_says_what_it_may_be():
    texts = {
        name: values.allowed(info.rebuild_annotation()) for name, info in settings.table().items()
    }
    assert "something else" not in texts.values()


@pytest.mark.parametrize("name", sorted(settings.secrets()))
def test_secrets_are_shown_neither_in_errors_nor_in_their_representation(tmp_path, name):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, **{name: "htp://very-secret\n"})
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in repr(load(tmp_path, **{name: "http://very-secret"}).settings)


def test_the_secrets_are_these():
    assert settings.secrets() == {"POSTGRES_PASSWORD", "DAGMA_WEBHOOK_URL"}
