"""Canaries for the private names of Dagster: each is there, and is what Dagma relies on.

A newer Dagster that moves one, or makes it something else, fails here by its name. So nothing is imported
from `dagma.instance`, which would fail as a whole. Each canary is also seen to fail.
"""

import ast
import inspect
import os
import re
import subprocess
import sys
from enum import Enum
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest

import dagma

PACKAGE = Path(dagma.__file__).parent
SOURCE = PACKAGE / "instance/dagster_private.py"
PRIVATE = re.compile(r"dagster\w*\._[\w.]*")


def imported(source: str) -> set[tuple[str, str]]:
    """(module, name) of each private import of Dagster's, wherever in the source it stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", name.name) for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {(name.name, "") for name in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add((node.value, ""))  # for import_module
    return {(module, name) for module, name in found if PRIVATE.fullmatch(module)}


def takes(made, *names):
    """It is called with these arguments, and asks for no other."""
    parameters = inspect.signature(made).parameters
    needed = [
        name
        for name, one in parameters.items()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    assert set(needed) <= set(names) <= set(parameters), f"takes {[*parameters]}, not {names}"


def values(enum):
    assert issubclass(enum, Enum)
    return {one.value for one in enum}


def events(some, *expected):
    assert {dg.DagsterEventType[name] for name in expected} <= set(some)
    assert not {one for one in some if one.value.startswith(("RUN_", "PIPELINE_"))}


def statuses(some, *, finished):
    assert some
    assert {dg.DagsterRunStatus.SUCCESS in some, dg.DagsterRunStatus.FAILURE in some} == {finished}
    assert (dg.DagsterRunStatus.STARTED in some) is not finished


def columns(table, name, *expected):
    assert table.name == name
    assert set(expected) <= set(table.columns.keys())


def same(found, expected):
    assert found == expected


def reads_config(process_config, monkeypatch):
    monkeypatch.setenv("CANARY", "7")
    fields = {"days": dg.Field(dg.IntSource)}
    read = process_config(fields, {"days": {"env": "CANARY"}})
    assert (read.success, read.value) == (True, {"days": 7})
    wrong = process_config(fields, {"days": "x"})
    assert not wrong.success
    assert wrong.errors


def only_loads_pickles(module):
    tree = ast.parse(inspect.getsource(module))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "pickle"
    }
    assert used == {"load"}


def is_error(error):
    assert issubclass(error, dg.DagsterError)
    assert error is not dg.DagsterError


def cursor_storage(storage):
    asked = {name for name in vars(storage) if not name.startswith("_")}
    assert asked == {"get_cursor_values", "set_cursor_values"}
    takes(storage.get_cursor_values, "self", "keys")
    takes(storage.set_cursor_values, "self", "pairs")


def asks_code_servers(client):
    takes(client, "host", "port", "socket")
    takes(client.get_server_id, "self")
    takes(client.list_repositories, "self")


#: Private name -> what is relied on; `found` is what the name stands for.
RELIED = {
    "process_config": reads_config,
    "InstigatorType": lambda found: same(values(found) >= {"SCHEDULE", "SENSOR"}, True),
    "DagsterCodeLocationLoadError": is_error,
    "DagsterUserCodeUnreachableError": is_error,
    "HOOK_EVENTS": lambda found: events(found, "HOOK_COMPLETED"),
    "MARKER_EVENTS": lambda found: events(found, "ENGINE_EVENT"),
    "STEP_EVENTS": lambda found: events(found, "STEP_OUTPUT", "STEP_FAILURE"),
    "JobFailureData": lambda found: takes(found, "error", "failure_reason"),
    "InstanceRef": lambda found: takes(found.config_defaults, "base_dir"),
    "CheckRunHealthResult": lambda found: same(found("status", "why")[:2], ("status", "why")),
    "LaunchRunContext": lambda found: takes(found, "dagster_run", "workspace"),
    "WorkerStatus": lambda found: same(values(found) >= {"RUNNING", "NOT_FOUND"}, True),
    "TickStatus": lambda found: same(values(found) >= {"SKIPPED", "FAILURE", "SUCCESS"}, True),
    "DaemonCursorStorage": cursor_storage,
    "FINISHED_STATUSES": lambda found: statuses(found, finished=True),
    "NOT_FINISHED_STATUSES": lambda found: statuses(found, finished=False),
    "PickledObjectFilesystemIOManager": lambda found: takes(found, "base_dir"),
    # What stands in the databases of stacks, and what users write.
    "BACKFILL_ID_TAG": lambda found: same(found, "dagster/backfill"),
    "MAX_RETRIES_TAG": lambda found: same(found, "dagster/max_retries"),
    "RUN_KEY_TAG": lambda found: same(found, "dagster/run_key"),
    "WILL_RETRY_TAG": lambda found: same(found, "dagster/will_retry"),
    "builtin_config_schemas": only_loads_pickles,
    "PartitionBackfill": lambda found: same(hasattr(found, "backfill_id"), True),
    "LocalComputeLogManager": lambda found: takes(
        found.get_captured_local_path, "self", "log_key", "extension"
    ),
    "DaemonHeartbeat": lambda found: takes(found, "timestamp", "daemon_type", "daemon_id"),
    "DagsterGrpcClient": asks_code_servers,
    "AssetCheckExecutionsTable": lambda found: columns(
        found,
        "asset_check_executions",
        *("id", "run_id", "asset_key", "check_name", "partition", "execution_status"),
        "evaluation_event",
    ),
    "SqlEventLogStorageTable": lambda found: columns(
        found,
        "event_logs",
        *("id", "run_id", "event", "dagster_event_type", "asset_key", "partition"),
    ),
    "BULK_ACTION_TERMINAL_STATUSES": lambda found: same(
        {one.value for one in found} & {"REQUESTED", "COMPLETED"}, {"COMPLETED"}
    ),
    "BulkActionsFilter": lambda found: same(found(statuses=[]).statuses, []),
    "BulkActionStatus": lambda found: same(values(found) >= {"REQUESTED", "COMPLETED"}, True),
}
NAMES = sorted(imported(SOURCE.read_text()))


def check(module, name, monkeypatch):
    """Fail by the name when it is not there, or is not what is relied on."""
    where = f"{module}.{name}, of Dagster {version('dagster')}"
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        raise AssertionError(f"{where}, is gone; {SOURCE.name} imports it") from None
    relied = RELIED[name]
    try:
        relied(found, monkeypatch) if relied is reads_config else relied(found)
    except Exception as error:
        raise AssertionError(f"{where}, is not what Dagma relies on: {error!r}") from error


def test_each_private_name_has_a_canary():
    assert {name for _, name in NAMES} == set(RELIED)


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[name for _, name in NAMES])
def test_private(module, name, monkeypatch):
    check(module, name, monkeypatch)


class Other:
    """What a name might stand for after a release."""

    def __init__(self, one, another):
        raise NotImplementedError


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[name for _, name in NAMES])
def test_a_name_that_is_gone_or_is_something_else_is_said(module, name, monkeypatch):
    monkeypatch.setattr(f"{module}.{name}", Other)
    with pytest.raises(AssertionError, match=rf"{re.escape(module)}\.{name}, of .* is not what"):
        check(module, name, monkeypatch)
    monkeypatch.delattr(f"{module}.{name}")
    with pytest.raises(AssertionError, match=rf"{re.escape(module)}\.{name}, of .* is gone"):
        check(module, name, monkeypatch)


def test_no_other_module_imports_what_is_private():
    others = [path for path in PACKAGE.rglob("*.py") if path != SOURCE]
    found = {path.name: imported(path.read_text()) for path in others}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "code",
    [
        "from dagster._core.events import HOOK_EVENTS",
        "def f():\n    from dagster_shared._x import y",
        "import dagster._cli as cli",
        "import_module('dagster._cli')",
    ],
)
def test_private_imports_are_found_wherever_they_stand(code):
    assert len(imported(code)) == 1


def test_a_bump_of_dagster_fails_by_the_name_that_moved(tmp_path):
    """As `pytest` prints it, with a Dagster in which one name has moved before anything is imported."""
    (tmp_path / "moved.py").write_text(
        "import dagster._daemon.cli, dagster._grpc.client  # and all that import the name\n"
        "import dagster._core.storage.tags as tags\n"
        "tags.WILL_RETRY = vars(tags).pop('WILL_RETRY_TAG')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "moved", "-k", "test_private", __file__]
    wide = {"COLUMNS": "300", "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    environ = os.environ | wide
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    [failed] = re.findall(r"^FAILED \S*(\[\w+\])(.*)$", done.stdout, flags=re.M)
    assert failed[0] == "[WILL_RETRY_TAG]"
    assert "dagster._core.storage.tags.WILL_RETRY_TAG, of Dagster" in failed[1]
