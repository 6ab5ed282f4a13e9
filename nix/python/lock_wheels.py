"""Renew nix/python/lock.json from pyproject.toml and say what moved.

Usage: lock_wheels.py [CHECKOUT] [--upgrade [NAME ...]]. What is locked stays, as far as pyproject.toml
and new packages let it; --upgrade takes the newest of all packages, or of those named.

uv resolves; this keeps of its answer what Nix needs and no network address: for each package the
version, what it depends on, and for each platform the one wheel to take, as file name and sha256.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging import tags
from packaging.markers import Marker
from packaging.utils import parse_wheel_filename

type Lock = dict[str, Any]

ROOT = "dagma"
PYTHON = (3, 13)
# The oldest C library of the two package sets decides: glibc 2.41 (Debian 13), macOS 14.
GLIBC_MINOR = 41
MACOS = (14, 0)


def linux_platforms(machine: str) -> Iterator[str]:
    """Yield the wheel platforms of glibc 2.41 down to 2.5, best first (PEP 600)."""
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    for minor in range(GLIBC_MINOR, 4, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in legacy:
            yield f"{legacy[minor]}_{machine}"
    yield f"linux_{machine}"


# Per Nix system: the values its environment markers see (PEP 508) and its wheel platforms.
SYSTEMS: dict[str, tuple[dict[str, str], list[str]]] = {
    "x86_64-linux": (
        {"sys_platform": "linux", "platform_machine": "x86_64"},
        list(linux_platforms("x86_64")),
    ),
    "aarch64-linux": (
        {"sys_platform": "linux", "platform_machine": "aarch64"},
        list(linux_platforms("aarch64")),
    ),
    "aarch64-darwin": (
        {"sys_platform": "darwin", "platform_machine": "arm64"},
        list(tags.mac_platforms(MACOS, "arm64")),
    ),
}


def marker_environment(system: str) -> dict[str, str]:
    """Return the PEP 508 marker environment of CPython 3.13 on a Nix system."""
    values = SYSTEMS[system][0]
    version = ".".join(map(str, PYTHON))
    return values | {
        "extra": "",
        "implementation_name": "cpython",
        "implementation_version": f"{version}.0",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": values["sys_platform"].capitalize(),
        "platform_version": "",
        "python_full_version": f"{version}.0",
        "python_version": version,
    }


def best_wheel(files: Iterable[str], system: str) -> str | None:
    """Return the wheel that pip would take on a system, or None when there is none."""
    platforms = SYSTEMS[system][1]
    supported = [
        *tags.cpython_tags(PYTHON, platforms=platforms),
        *tags.compatible_tags(PYTHON, "cp313", platforms=platforms),
    ]
    rank = {tag: place for place, tag in reversed(list(enumerate(supported)))}
    ranked = [
        (min(rank[tag] for tag in matching), file)
        for file in files
        if (matching := parse_wheel_filename(file)[3] & rank.keys())
    ]
    return min(ranked)[1] if ranked else None


def edges(package: Lock, extras: Iterable[str], groups: Iterable[str]) -> list[Lock]:
    """Return what a package requires with some of its extras and dependency groups."""
    optional = package.get("optional-dependencies", {})
    development = package.get("dev-dependencies", {})
    found: list[Lock] = package.get("dependencies", [])
    return (
        found
        + [edge for extra in extras for edge in optional.get(extra, [])]
        + [edge for group in groups for edge in development.get(group, [])]
    )


def closure(packages: Lock, start: list[Lock], system: str) -> dict[str, set[str]]:
    """Return every package reached on a system, each with what it depends on there."""
    environment = marker_environment(system)
    reached: dict[str, set[str]] = {}
    done: set[tuple[str, str]] = set()
    todo = [("", edge) for edge in start]
    while todo:
        parent, edge = todo.pop()
        if "marker" in edge and not Marker(edge["marker"]).evaluate(environment):
            continue
        name = edge["name"]
        if parent:
            reached[parent].add(name)
        reached.setdefault(name, set())
        for extra in ["", *edge.get("extra", [])]:
            if (name, extra) not in done:
                done.add((name, extra))
                found = (
                    edges(packages[name], [extra], []) if extra else edges(packages[name], [], [])
                )
                todo += [(name, child) for child in found]
    return reached


def wheels(package: Lock, systems: Iterable[str]) -> Lock:
    """Return per system the file and sha256 (SRI without the prefix: hex) of a package's wheel.

    Raises:
        SystemExit: A system has no wheel.
    """
    hashes = {w["url"].rsplit("/", 1)[1]: w["hash"] for w in package.get("wheels", [])}
    chosen = {}
    for system in systems:
        file = best_wheel(hashes, system)
        if file is None:
            name = f"{package['name']} {package['version']}"
            sys.exit(f"lock: {name} has no wheel for {system}; exclude that version in pyproject")
        chosen[system] = {"file": file, "sha256": hashes[file].removeprefix("sha256:")}
    return chosen


def read_uv_lock(uv_lock: Lock) -> Lock:
    """Return the content of lock.json for the parsed content of uv.lock.

    Raises:
        SystemExit: An extra and a dependency group have one name, or a wheel is missing.
    """
    packages = {package["name"]: package for package in uv_lock["package"]}
    root = packages[ROOT]
    extras, groups = root.get("optional-dependencies", {}), root["dev-dependencies"]
    if both := sorted(extras.keys() & groups.keys()):
        sys.exit(
            f"lock: {', '.join(both)} is an extra and a dependency group: give one another name"
        )
    roles = {ROOT: root["dependencies"], **extras, **groups}
    everything = edges(root, extras, groups)
    reached = {system: closure(packages, everything, system) for system in SYSTEMS}
    names = sorted(set().union(*reached.values()))
    return {
        "roles": {name: role(packages, found) for name, found in roles.items()},
        "packages": {name: locked(packages[name], reached) for name in names},
    }


def role(packages: Lock, found: list[Lock]) -> Lock:
    """Return one role's entry of lock.json.

    All packages are named, not only the direct ones: what an extra adds for this role is not for
    the others, which the packages' own entries do not tell.
    """
    return {
        "requires": sorted(edge["name"] for edge in found),
        "packages": sorted(set().union(*(closure(packages, found, system) for system in SYSTEMS))),
    }


def locked(package: Lock, reached: dict[str, dict[str, set[str]]]) -> Lock:
    """Return one package's entry of lock.json; `reached` is the closure of every system."""
    name = package["name"]
    systems = [system for system in SYSTEMS if name in reached[system]]
    return {
        "version": package["version"],
        "dependencies": sorted(set().union(*(reached[system][name] for system in systems))),
        "wheels": wheels(package, systems),
    }


def moved(old: Lock, new: Lock) -> list[str]:
    """Return a line for each package that came, went or changed its version."""
    before = {name: p["version"] for name, p in old.get("packages", {}).items()}
    after = {name: p["version"] for name, p in new["packages"].items()}
    return [
        f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


# What pip calls a setting, and the variable by which uv knows it.
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "cert": "SSL_CERT_FILE",
}


def pip_settings(listing: str) -> dict[str, str]:
    """Return uv's variables for what `pip config list` prints, the most specific line last."""
    found = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if name in SETTINGS and section in ("global", "download", "install", ":env:"):
            found[SETTINGS[name]] = " ".join(value.strip("'\"").split("\\n")).strip()
    return found


def uv_environment() -> dict[str, str]:
    """Return the environment for uv: the index and certificates of the machine's pip.

    What is set for uv itself goes before; pip is what people have configured.
    """
    pip = next(filter(None, map(shutil.which, ("pip3", "pip"))), None)
    done = pip and subprocess.run(
        [pip, "config", "list"], capture_output=True, text=True, check=False
    )
    settings = pip_settings(done.stdout) if done else {}
    return {"UV_SYSTEM_CERTS": "true", **settings, **os.environ}


def preferred(lock: Lock) -> str:
    """Return a uv.lock from which uv takes the versions that it prefers: those of lock.json.

    The tracked lock decides, not a uv.lock that another resolution left. uv asks the index that it
    is configured with for the packages; the one named here is never asked.
    """
    lines = ["version = 1", f'requires-python = "=={".".join(map(str, PYTHON))}.*"']
    for name, package in lock.get("packages", {}).items():
        lines += ["[[package]]", f'name = "{name}"', f'version = "{package["version"]}"']
        lines += ['source = { registry = "https://index.invalid/simple" }']
    return "\n".join(lines) + "\n"


def known(root: Path, names: Iterable[str]) -> list[str]:
    """Return the names that are Python packages; the others must be Debian's.

    Raises:
        SystemExit: A name is in no lock.
    """
    wheels = json.loads((root / "nix/python/lock.json").read_text())["packages"]
    debian = json.loads((root / "nix/registry/lock.json").read_text())["debian"]
    packages = {package for group in debian.values() for package in group}
    if unknown := sorted(set(names) - wheels.keys() - packages):
        sys.exit(f"lock: {', '.join(unknown)} is in no lock, so nothing is to be upgraded")
    return [name for name in names if name in wheels]


def resolve(root: Path, old: Lock, upgrade: list[str] | None) -> Lock:
    """Return the content of the uv.lock that uv makes of a checkout's pyproject.toml.

    Raises:
        SystemExit: There is no resolution.
    """
    (root / "uv.lock").write_text(preferred(old))
    command = ["uv", "lock", "--no-progress", "--python", sys.executable]
    command += [f"--upgrade-package={name}" for name in upgrade or []]
    command += ["--upgrade"] if upgrade == [] else []
    if subprocess.run(command, cwd=root, env=uv_environment(), check=False).returncode:
        sys.exit("lock: uv found no resolution (its message is above); the lock stays as it was")
    return tomllib.loads((root / "uv.lock").read_text())


def main(root: Path, upgrade: list[str] | None = None) -> None:
    """Resolve anew in a checkout and write its nix/python/lock.json.

    Args:
        root: The checkout.
        upgrade: Packages to take the newest of; all when empty, those that must move when None.
    """
    target = root / "nix/python/lock.json"
    old = json.loads(target.read_text()) if target.exists() else {}
    if upgrade:
        names = known(root, upgrade)
        upgrade = names or None  # Debian's alone are lock_debian.py's
    new = read_uv_lock(resolve(root, old, upgrade))
    target.write_text(json.dumps(new, indent=1) + "\n")
    print("\n".join(moved(old, new)) or "wheels: nothing moved")


def arguments() -> argparse.Namespace:
    """Return the command line: the checkout, and what to upgrade (see `main`)."""
    parser = argparse.ArgumentParser(prog="lock", allow_abbrev=False)
    parser.add_argument("root", nargs="?", default=".", type=Path, help="the checkout")
    parser.add_argument(
        "--upgrade",
        nargs="*",
        metavar="NAME",
        help="take the newest of the packages named, or of all",
    )
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    main(given.root.resolve(), given.upgrade)
