import ast
from pathlib import Path

import pytest

import dagma

PACKAGE = Path(dagma.__file__).parent
#: The rooms of `dagma`, from the ground up: each imports only what stands in a line above its own.
FLOORS = [
    {"errors", "files", "interrupts", "lock", "mlflow_artifacts", "stopped"},
    {"private", "values"},
    {"databases"},
    {"door", "instance"},
    {"code_server", "run_worker"},
    {"kit", "stack"},
    {"cli", "components", "defs"},
    {"definitions"},
]


def room(path):
    """`kit` for src/dagma/kit/io/files.py, `lock` for src/dagma/lock.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name):
    found = [number for number, rooms in enumerate(FLOORS) if name in rooms]
    assert found, f"tests/unit/test_rooms.py does not say on which floor dagma.{name} is"
    return found[0]


def imported(path):
    """Rooms that a module imports, in functions and for type checkers, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            root, _, rest = name.partition(".")
            if root == "dagma" and rest:
                yield rest.partition(".")[0]


def wrong(path):
    here = room(path)
    return [there for there in imported(path) if there != here and not floor(there) < floor(here)]


MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__"
)


def test_no_room_imports_one_beside_or_above_it():
    found = {str(path.relative_to(PACKAGE)): wrong(path) for path in MODULES}
    assert {path: rooms for path, rooms in found.items() if rooms} == {}


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("kit/io/x.py", "from dagma.stack.settings import Settings"),
        ("kit/x.py", "def f():\n    from dagma import stack"),
        ("kit/x.py", "import dagma.defs.resources"),
        ("stack/x.py", "from dagma.kit import io"),
        ("stack/x.py", "from dagma.defs.recipes import corpus"),
        ("instance/x.py", "from dagma.door import token"),
    ],
)
def test_what_no_room_may_import_is_found(tmp_path, monkeypatch, where, line):
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    path = tmp_path / where
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert wrong(path)
