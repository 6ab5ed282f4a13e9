"""The source of Go programs with their modules, by the Go of the package set."""

import shutil
from pathlib import Path
from typing import Optional
from urllib.parse import quote

from machine import BringError, last_line, megabytes, run, told
from pins import HERE

# The set of packages that Go is taken from, as a flake.
REGISTRY = f"path:{quote(str(HERE.parent))}?dir=registry"


def vendor(module: str, version: str, tree: Path, newest: bool) -> Path:
    """Write the tree of a Go module, its dependencies in `vendor/`, and return its place.

    Args:
        module: The module's path, small letters only.
        version: Its version without the `v`.
        tree: Where it is written; the modules stand beside it.
        newest: It needs the Go of the twins.

    Raises:
        BringError: Go cannot be built or did not bring a module.
    """
    folder = tree.parent
    package = f"{REGISTRY}#{'process-compose.twin.go' if newest else 'go'}"
    with told("unpacking Debian's Go into the store"):
        call(["nix", "build", "--no-link", package], folder)
    # In the store of an ordinary user only Nix's children see the program under this path.
    go = ["nix", "run", package, "--"]
    settings = {"GOMODCACHE": str(folder / "modules"), **go_settings()}
    with told("Go modules", lambda: megabytes(folder)):
        call([*go, "mod", "download", f"{module}@v{version}"], folder, settings)
        shutil.copytree(folder / f"modules/{module}@v{version}", tree)
        call([*go, "-C", str(tree), "mod", "vendor"], folder, settings)
    return tree


def call(command: list[str], folder: Path, settings: Optional[dict[str, str]] = None) -> None:
    """Run a program.

    Raises:
        BringError: It failed.
    """
    done = run(command, folder, settings)
    if done.returncode:
        raise BringError(
            f"modules cannot be brought by Go ({last_line(done.stderr)}): "
            "see GOPROXY and the proxy variables in `go env`"
        )


def go_settings() -> dict[str, str]:
    """Return Go's settings; the proxy is that of the machine's own Go, if there is one."""
    # The sum database is often unreachable behind a mirror; the lock's hash covers all content.
    settings = {"GOTOOLCHAIN": "local", "GOSUMDB": "off", "GOFLAGS": "-modcacherw -mod=mod"}
    if shutil.which("go"):
        proxy = run(["go", "env", "GOPROXY"], Path("/")).stdout.strip()
        if proxy:
            settings["GOPROXY"] = proxy
    return settings
