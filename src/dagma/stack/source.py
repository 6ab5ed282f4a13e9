"""Which code of Dagma, with the example's, a command has: the checkout's, or a copy that Nix built."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dagma

#: Files that count as code; data that assets write beside it do not.
CODE = (".py", ".yaml", ".yml", ".toml", ".sql")
#: Where Nix keeps what it built; nothing in it ever changes.
STORE = Path("/nix/store")
#: Untracked files that are named one by one.
SHOWN = 5


def package() -> Path:
    """The folder of the package `dagma` that this command runs."""
    return Path(dagma.__file__).resolve().parent


def digest() -> str:
    """What the code is known by: the same for a checkout and for what Nix built of it."""
    root = package()
    found = hashlib.sha256()
    files = (path for path in root.rglob("*") if path.suffix in CODE and path.is_file())
    # Nix puts the topology beside the package, and a checkout does not; it is no user's code.
    for path in sorted(path.relative_to(root) for path in files):
        if path.name != "process-compose.yaml" and "target" not in path.parts:  # dbt's output
            found.update(f"{path}\0".encode() + (root / path).read_bytes() + b"\0")
    return found.hexdigest()[:16]


def python_path(environ: Mapping[str, str], former: str) -> str:
    """PYTHONPATH for who is to import this command's code and whatever else its user has there.

    Args:
        environ: This command's environment.
        former: What the service had; what it names goes on being found, other copies of Dagma not.
    """
    root = Path(dagma.__file__).parents[
        1
    ]  # as it is imported: the interpreter's own needs no entry
    own = [] if root.is_relative_to(sys.prefix) else [str(root)]
    kept = [*environ.get("PYTHONPATH", "").split(os.pathsep), *former.split(os.pathsep)]
    others = [entry for entry in kept if entry and not (Path(entry) / "dagma/__init__.py").exists()]
    return os.pathsep.join(dict.fromkeys(own + others))


def checkout() -> Path:
    """The checkout whose code is built: as ./nixw says, else where the command was called."""
    return Path(os.environ.get("DAGMA_CHECKOUT") or Path.cwd())


def untracked(directory: Path) -> str | None:
    """One line about files of a checkout that Nix left out, since it copies what Git tracks.

    None where there are none, and where the code is not a copy.
    """
    if not package().is_relative_to(STORE) or not (directory / "src/dagma").is_dir():
        return None
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "ls-files", "--others", "--exclude-standard", "-z", "--", "src"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    files = [file for file in done.stdout.split("\0") if file]
    if done.returncode != 0 or not files:
        return None
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    names = ", ".join(files[:SHOWN])
    return f"Git does not track {names}{more}, so Nix left it out; `git add -N src` brings it in."
