import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import dagster as dg
import pytest

import dagma
from dagma import values
from dagma.errors import SettingsError
from dagma.kit.settings import from_environment, given, setting
from dagma.stack.settings import HANDED_DOWN, Settings, load, secrets, table

PACKAGE = Path(dagma.__file__).parent
NAME = "DAGMA_SENSOR_INTERVAL"
READERS = ("setting", "from_environment", "given")


def calls():
    """(module, function, arguments) of each call by which kit and example read a setting."""
    for room in ("kit", "defs"):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text())):
                called = node.func if isinstance(node, ast.Call) else None
                if isinstance(called, ast.Name) and called.id in READERS and node.args:
                    yield name, node


def evaluated(module, node):
    there = vars(import_module(module))
    arguments = [eval(ast.unparse(one), there) for one in node.args]
    named = {one.arg: eval(ast.unparse(one.value), there) for one in node.keywords}
    return arguments, named


CALLS = [
    pytest.param(module, node, id=f"{module}:{node.lineno}")
    for module, node in calls()
    if module != "dagma.kit.settings"
]


def test_the_settings_of_kit_and_example_are_found():
    read = {evaluated(*one.values)[0][0] for one in CALLS}
    assert {"DAGMA_TIMEZONE", "DAGMA_INBOX", "MLFLOW_TRACKING_URI", "QDRANT_URL"} <= read


@pytest.mark.parametrize(("module", "node"), CALLS)
def test_what_code_reads_is_what_the_table_says(module, node):
    (name, *rest), named = evaluated(module, node)
    if name in HANDED_DOWN:
        return
    if node.func.id == "given":
        assert name in table()
        return
    info = table()[name]
    (attribute,) = [key for key, one in Settings.model_fields.items() if one.alias == name]
    declared = get_type_hints(Settings, include_extras=True)[attribute]
    assert rest[0] in (declared, *get_args(declared)), f"{name} is of another type in the table"
    default = named.get("default", rest[1] if len(rest) > 1 else "")
    assert default == info.default or (info.default is None), f"{name} has another default there"
    assert named.get("secret", False) == (name in secrets())


#: Modules that read the environment themselves, and what that is no setting.
RAW = {
    "kit/settings.py": "where settings are read",
    "kit/tracking/origin.py": "the commit that an image or Nix was built from",
    "kit/vectors/qdrant.py": "a key of Qdrant's own, and secret: no field, read when it is sent",
    "defs/dbt/models.py": "what dbt and libpq read",
}


def test_nothing_else_reads_the_environment():
    paths = [path for room in ("kit", "defs") for path in (PACKAGE / room).rglob("*.py")]
    found = {
        str(path.relative_to(PACKAGE))
        for path in paths
        if any(word in path.read_text() for word in ("environ[", "environ.", "getenv", "EnvVar("))
    }
    assert found == set(RAW)


def test_a_value_is_what_the_stack_makes_of_it(monkeypatch):
    monkeypatch.setenv(NAME, "7")
    assert setting(NAME, values.Seconds, 30) == 7 == load({NAME: "7"}).settings.sensor_interval


@pytest.mark.parametrize("value", [None, ""])
def test_what_is_unset_or_empty_is_the_default(monkeypatch, value):
    monkeypatch.delenv(NAME, raising=False)
    if value is not None:
        monkeypatch.setenv(NAME, value)
    assert not given(NAME)
    assert setting(NAME, values.Seconds, 30) == 30
    assert from_environment(NAME, values.Seconds, "30") == "30"


WRONG = {
    NAME: ("7 s", values.Seconds),
    "DAGMA_TIMEZONE": ("Moon", values.Zone),
    "DAGMA_NIGHTLY_AT": ("3:00", values.TimeOfDay),
    "MLFLOW_USE_TRACKING": ("perhaps", values.Flag),
    "DAGMA_MLFLOW_UNREACHABLE": ("ignore", values.Unreachable),
    "QDRANT_URL": ("me:secret@host", values.Url),
    "DAGMA_ANALYTICS_URL": ("mysql://me:secret@host/x", values.DatabaseUrl),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_the_stacks_own_sentence(monkeypatch, name):
    value, kind = WRONG[name]
    monkeypatch.setenv(name, value)
    said = []
    for read in (setting, from_environment):
        with pytest.raises(SettingsError) as caught:
            read(name, kind, "")
        said.append(str(caught.value))
    with pytest.raises(SettingsError) as caught:
        load({name: value})
    assert said == [str(caught.value)] * 2


def test_a_secret_is_in_no_sentence(monkeypatch):
    monkeypatch.setenv("DAGMA_WEBHOOK_URL", "very-secret")
    with pytest.raises(SettingsError, match=r"has a value \(not shown\)") as caught:
        from_environment("DAGMA_WEBHOOK_URL", values.Url, secret=True)
    assert "very-secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_field_is_the_variables_name(monkeypatch):
    monkeypatch.setenv("QDRANT_URL", "http://q:1")
    found = from_environment("QDRANT_URL", values.Url)
    assert isinstance(found, dg.EnvVar)
    assert found.env_var_name == "QDRANT_URL"


def test_a_code_location_with_a_wrong_setting_does_not_load():
    code = "import os; os.environ['DAGMA_RETENTION_DAYS'] = '0'; import dagma.definitions as d; d.defs()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode
    assert "DAGMA_RETENTION_DAYS is '0' in the environment, but it must be" in done.stderr
