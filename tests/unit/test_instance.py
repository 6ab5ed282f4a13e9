import ast
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance

import dagma.instance
from dagma.instance import Instance, launcher

PARENTS = [parent for parent in Instance.__mro__[1:] if parent.__module__.startswith("dagma.")]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "dagster.yaml").write_text(
        "instance_class: {module: dagma.instance, class: Instance}\n"
        "run_launcher: {module: dagma.run_worker, class: RunLauncher}\n"
        "tick_retention_days: {skipped: {env: DAYS}, failure: 3}\n"
        "telemetry: {enabled: false}\n"
    )
    return tmp_path


def test_dagster_finds_our_classes_by_the_names_in_dagster_yaml(home):
    with DagsterInstance.from_config(str(home)) as instance:
        assert type(instance) is Instance
        assert type(instance.run_launcher) is launcher.RunLauncher


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import dagma.instance", "dagster"),
        ("import dagma.code_server", "dagma.instance"),
        ("import dagma.stack.launch", "dagma.instance"),
        ("import dagma.cli", "dagma.instance"),
        ("from dagma.instance import dagster_private", "dagma.instance.whole"),
        ("from dagma.instance import dagster_private", "dagster._grpc.client"),
        ("from dagma.instance import dagster_private", "sqlalchemy"),
        ("from dagma.instance import Instance", "dagster._grpc.client"),
        ("from dagma.instance import Instance", "dagster._core.storage.event_log.schema"),
    ],
)
def test_what_is_not_needed_is_not_imported(statement, absent):
    code = f"{statement}\nimport sys\nprint({absent!r} in sys.modules)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_a_name_that_is_not_there_is_said():
    with pytest.raises(AttributeError, match=r"'dagma\.instance' has no attribute 'Nothing'"):
        _ = dagma.instance.Nothing


def test_the_images_of_webserver_and_daemon_have_all_that_it_imports():
    """They have this package, and little else of Dagma."""
    here = Path(dagma.instance.__file__).parent
    trees = [ast.parse(path.read_text()) for path in here.glob("*.py")]
    found = {
        node.module
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or ".").startswith(("dagma", "."))
    }
    assert {module for module in found if not module.startswith("dagma.instance")} == set()


@pytest.mark.parametrize("concern", PARENTS, ids=lambda concern: concern.__name__)
def test_a_concern_says_what_it_changes_and_where_that_is_discussed(concern):
    module = sys.modules[concern.__module__]
    assert "\nChanges: `" in module.__doc__
    assert "https://github.com/dagster-io/dagster/" in module.__doc__
