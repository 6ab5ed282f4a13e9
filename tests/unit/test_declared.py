import ast
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/dagma"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]
BASE = "dagma"
#: Where code is, the longest path first -> the environments that run it, as what they are made of.
ENVIRONMENTS = {
    "defs": [[BASE, *EXTRAS, "example"]],
    "definitions.py": [[BASE, *EXTRAS, "example"]],
    "kit/io/files.py": [[BASE, "parquet"]],
    "kit/io/parquet.py": [[BASE, "parquet"]],
    "kit/io/postgres.py": [[BASE, "postgres"]],
    "kit/tracking": [[BASE, "mlflow"]],
    "kit/vectors": [[BASE, "qdrant"]],
    "kit": [[BASE]],
    "instance": [[BASE], ["daemon"], ["webserver"]],
    "instance/environment.py": [[BASE]],  # what it imports besides, no image gets to
    "run_worker.py": [[BASE], ["daemon"], ["webserver"]],
    "door/mlflow_client.py": [[BASE, "mlflow"]],
    "door/mlflow.py": [["mlflow-server"]],
    "door/mlflow_cli.py": [["mlflow-server"]],
    "door/webserver.py": [["webserver"]],
    "door": [["webserver"], ["mlflow-server"]],
    "mlflow_artifacts.py": [["mlflow-server"]],
    "stack/services/mlflow.py": [[BASE, "mlflow-server"]],
    "": [[BASE]],
}
#: Declared, and imported nowhere by name.
NOT_IMPORTED = {
    "dagster-postgres": "dagster.yaml names its classes",
    "pyarrow": "pandas' engine for Parquet",
    "dbt-core": "held below 1.12; dagster-dbt runs it",
    "dbt-postgres": "profiles.yml names it",
}


@cache
def declared(name):
    """Names of the packages that an extra or a group declares, or the project itself."""
    entries = PYPROJECT["project"]["dependencies"] if name == BASE else (EXTRAS | GROUPS)[name]
    return {
        one
        for entry in entries
        for one in (
            declared(entry["include-group"])
            if isinstance(entry, dict)
            else [canonicalize_name(Requirement(entry).name)]
        )
    }


@cache
def distributions():
    return {
        module: {canonicalize_name(name) for name in names}
        for module, names in packages_distributions().items()
    }


def imported(source):
    """Top-level modules that are imported when it runs, and are not Python's own."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module)):
                found = [module]
            case ast.Call(
                func=ast.Name("import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(str(module)), *_],
            ):
                found = [module]
            case _:
                continue
        for name in found:
            if (top := name.partition(".")[0]) not in sys.stdlib_module_names:
                yield top


def undeclared(source, *names):
    """Modules of a source that nothing declares; a module may be in several distributions."""
    here = set().union(*map(declared, names))
    return {
        module
        for module in imported(source)
        if module in distributions() and not distributions()[module] & here
    } - {"dagma"}


def environments(path):
    name = path.relative_to(PACKAGE).as_posix()
    place = max((p for p in ENVIRONMENTS if f"{name}/".startswith(p and f"{p}/")), key=len)
    return ENVIRONMENTS[place]


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_what_a_module_imports_is_declared_for_each_environment_that_runs_it(path):
    source = path.read_text()
    missing = {" + ".join(names): undeclared(source, *names) for names in environments(path)}
    assert {names: modules for names, modules in missing.items() if modules} == {}


@pytest.mark.parametrize("folder", ["tests", "bench", "nix"])
def test_what_tests_and_tools_import_is_declared(folder):
    found = {
        path.relative_to(ROOT).as_posix(): missing
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (missing := undeclared(path.read_text(), BASE, *EXTRAS, *GROUPS))
    }
    assert found == {}


def test_what_is_declared_for_the_package_is_imported():
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    used = {
        name for text in sources for top in imported(text) for name in distributions().get(top, ())
    }
    wanted = set().union(*map(declared, (BASE, *EXTRAS, "example")))
    assert wanted - used == set(NOT_IMPORTED)


def test_the_packages_of_the_example_are_its_own():
    others = set().union(*map(declared, (BASE, *EXTRAS)))
    assert not declared("example") & others
    assert {"gensim", "dagster-dbt", "matplotlib", "pluralizer"} <= declared("example")


@pytest.mark.parametrize(
    ("place", "line", "module"),
    [
        ("kit/preview.py", "def f():\n    import pandas", "pandas"),
        ("kit/vectors/x.py", "from mlflow import MlflowClient", "mlflow"),
        ("defs/x.py", "import yaml", "yaml"),
        ("stack/x.py", "from importlib import import_module as i, import_module\n"
         "import_module('numpy.linalg')", "numpy"),
    ],
)  # fmt: skip
def test_what_is_not_declared_is_found(place, line, module):
    (names,) = environments(PACKAGE / place)
    assert undeclared(line, *names) == {module}


def test_what_is_for_type_checkers_alone_need_not_be_there():
    assert not undeclared("if TYPE_CHECKING:\n    import pandas", BASE)
