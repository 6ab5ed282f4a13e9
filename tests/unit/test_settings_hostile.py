"""Whatever `.env` and the environment hold: settings that mean what was written, or one sentence."""

import re
import shlex

import yaml
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from dagma.errors import SettingsError
from dagma.stack import environment, settings, topology

TEXT = topology.path().read_text()
NAMES = sorted(settings.table())

#: What parsers, shells, YAML, terminals and URLs give a meaning, among other characters.
characters = st.one_of(
    st.sampled_from("\0\n\r\t\x1b\x85\u2028 \"'`\\$#={}[]~/:@,;&|*!%?.-_09azAZé"), st.characters()
)
hostile = st.text(characters, max_size=30)
#: As the system hands out what is not UTF-8; nothing in an environment holds a NUL.
inherited = st.binary(max_size=30).map(
    lambda raw: raw.replace(b"\0", b"").decode(errors="surrogateescape")
)
names = st.one_of(st.sampled_from(NAMES), st.text("ABDGMOPRST_", min_size=1, max_size=12))
equals, ends = st.sampled_from(["=", "='", '="', " = ", ""]), st.sampled_from(["", "'", '"'])
lines = st.one_of(st.tuples(names, equals, hostile, ends).map("".join), hostile)
texts = st.lists(lines, max_size=4).map("\n".join)
files = st.one_of(st.binary(max_size=200), texts.map(lambda text: text.encode(errors="ignore")))
paths = st.one_of(
    st.text(st.sampled_from("ab :-?!&*|>%@;()[]~'\"\\\x85\u2028é"), min_size=1).map("/".__add__),
    hostile,
)


def outcome(environ, directory=None):
    """The settings, or None after a look at the sentence, which must be fit for a terminal."""
    try:
        return settings.load(environ, directory)
    except SettingsError as error:
        sentence = str(error)
        assert sentence.isprintable()
        assert sentence[-1] in ".?"
        return None


@examples(max_examples=500, deadline=None)
@given(files)
@example(b"A='x\0y'")
def test_any_file_is_read_as_python_dotenv_reads_it_or_refused(tmp_path_factory, content):
    place = tmp_path_factory.mktemp("any")
    (place / ".env").write_bytes(content)
    loaded = outcome({}, place)
    assert [path.name for path in place.iterdir()] == [".env"]
    if loaded is None:
        return
    said = dotenv_values(place / ".env", interpolate=False, encoding="utf-8-sig")
    assert dict(loaded.extra) == {n: value for n, value in said.items() if n not in NAMES}
    values = [*loaded.extra.values(), *map(str, loaded.settings.model_dump().values())]
    assert [value for value in values if "\0" in value] == []  # no process could be given it


@examples(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(hostile, inherited), min_size=1))
@example({"DAGMA_HOME": "~nobody-of-this-name/x"})
def test_any_environment_is_taken_or_refused(environ):
    outcome(environ)


@examples(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(settings.secrets())), st.text(characters, min_size=6))
def test_no_secret_is_in_a_sentence(name, value):
    try:
        settings.load({name: value})
    except SettingsError as error:
        assert value not in str(error)


@examples(max_examples=500, deadline=None)
@given(paths)
@example("/a: b")
@example("/a ")
@example("/a\x85b")
def test_a_path_that_is_taken_reaches_the_services_unchanged(path):
    loaded = outcome({"DAGMA_HOME": path, "DAGSTER_HOME": path})
    if loaded is None:
        return
    exported = environment.of_services(loaded, ["mlflow"], {})

    def filled(text):
        return re.sub(r"\$\{(\w+)\}", lambda name: exported.get(name[1], name[0]), text)

    def read(text):
        return yaml.load(text, yaml.BaseLoader)  # every leaf as the text that it is

    def leaves(part):
        if isinstance(part, dict):
            return {key: leaves(value) for key, value in part.items()}
        if isinstance(part, list):
            return [leaves(value) for value in part]
        return filled(part)

    # process-compose fills in the text, before it reads it as YAML.
    assert read(filled(TEXT)) == leaves(read(TEXT))
    for process in yaml.safe_load(TEXT)["processes"].values():
        command = process["command"]
        assert shlex.split(filled(command)) == [filled(word) for word in shlex.split(command)]
