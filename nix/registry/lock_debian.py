"""Renew nix/registry/lock.json: the newest packages of the Debian suite, and say what moved.

Usage: lock_debian.py [CHECKOUT] [--upgrade [NAME ...]]. The names in the lock stay (add one with an
empty object, then run this), and so do their versions, unless --upgrade asks for the newest of all
packages, or of those named. Go programs are renewed by hand: set the version and an empty sha256; the
next `./nixw` that needs the program computes and records the hash.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional

from debian import Apt, make_seed
from machine import BringError
from pins import ARCHITECTURES, Package, by_suite
from store import archive_sha256


def asked(lock: dict[str, Any], upgrade: Optional[list[str]]) -> set[str]:
    """Return the names to renew: the new ones, and all (an empty list) or those to be upgraded."""
    packages = {name: entry for group in lock["debian"].values() for name, entry in group.items()}
    if upgrade == []:
        return set(packages)
    return {name for name, entry in packages.items() if not entry or name in (upgrade or [])}


def renew(lock: dict[str, Any], system: str, folder: Path, names: set[str]) -> None:
    """Write the suites' versions of some packages for one system into the lock, and the seed's hash.

    Raises:
        BringError: The mirror does not answer, or cannot be trusted.
    """
    for suite, groups in by_suite(lock, list(lock["debian"])).items():
        wanted = {name for group in groups for name in lock["debian"][group]} & names
        if not wanted:
            continue
        apt = Apt(folder / suite, suite, system)
        if not apt.signed:
            raise BringError("new pins need Debian's signatures: install debian-archive-keyring")
        apt.update()
        renew_groups(lock, groups, apt, wanted)


def renew_groups(lock: dict[str, Any], groups: list[str], apt: Apt, wanted: set[str]) -> None:
    """Write the versions that a suite has of some packages of some groups into the lock."""
    system = apt.system
    found = apt.available(sorted(wanted))
    for group in (lock["debian"][group] for group in groups):
        for name in wanted & group.keys():
            # A few libraries exist for one processor only (libcpuid17).
            group[name].pop(system, None)
            if name in found:
                group[name][system] = dict(found[name][0]._asdict())
    if "busybox-static" in found:
        lock["seed"][system] = seed_hash(apt, found["busybox-static"][0])


def seed_hash(apt: Apt, package: Package) -> str:
    """Return the sha256 (hex, of its Nix archive) of the seed made from a busybox package."""
    with tempfile.TemporaryDirectory() as folder:
        file = apt.download({"busybox-static": package}, Path(folder))["busybox-static"]
        return archive_sha256(make_seed(file, Path(folder)))


def moved(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return a line for each package whose version or content changed on some system."""
    lines = {
        f"{name} ({system}): {old[group][name].get(system, {}).get('version', 'absent')}"
        f" -> {entry['version']}"
        for group, packages in new.items()
        for name, systems in packages.items()
        for system, entry in systems.items()
        if old[group][name].get(system) != entry
    }
    return sorted(lines)


def renewed(lock: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a copy of the lock in which some packages are renewed for every system.

    Raises:
        BringError: A package is gone from the suite, or its mirror does not answer.
    """
    new: dict[str, Any] = json.loads(json.dumps(lock))
    folder = Path(tempfile.mkdtemp())
    try:
        for system in ARCHITECTURES:
            renew(new, system, folder / system, names)
    finally:
        shutil.rmtree(folder)
    gone = sorted(name for group in new["debian"].values() for name in group if not group[name])
    if gone:
        raise BringError(
            f"Debian {' and '.join(by_suite(new, list(new['debian'])))} have no package {', '.join(gone)}"
        )
    return new


def main(root: Path, upgrade: Optional[list[str]] = None) -> None:
    """Renew the registry lock of a checkout; it stays as it was when anything fails."""
    target = root / "nix/registry/lock.json"
    old = json.loads(target.read_text())
    names = asked(old, upgrade)
    if not names:
        print("Debian packages: nothing moved")
        return
    try:
        new = renewed(old, names)
    except BringError as error:
        sys.exit(f"lock: {error}; nix/registry/lock.json stays as it was")
    print("\n".join(moved(old["debian"], new["debian"])) or "Debian packages: nothing moved")
    target.write_text(json.dumps(new, indent=1) + "\n")
    target.with_name("lock.local.json").unlink(missing_ok=True)


if __name__ == "__main__":
    # As ../python/lock_wheels.py, which is run before and says what is wrong with them.
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("root", nargs="?", default=".", type=Path)
    parser.add_argument("--upgrade", nargs="*")
    given = parser.parse_args()
    main(given.root.resolve(), given.upgrade)
