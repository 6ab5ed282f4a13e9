"""Renew nix/registry/lock.json: the newest packages of the Debian suite, and say what moved.

The names in the lock stay (add one with an empty object, then run this); their versions and hashes
are renewed. Go programs are renewed by hand: set the version and an empty sha256; the next `./nixw`
that needs the program computes and records the hash.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from debian import Apt, make_seed
from machine import BringError
from pins import ARCHITECTURES, Package, by_suite
from store import archive_sha256


def renew(lock: dict[str, Any], system: str, folder: Path) -> None:
    """Write the suites' versions for one system into the lock, and the seed's hash with them.

    Raises:
        BringError: The mirror does not answer, or cannot be trusted.
    """
    for suite, groups in by_suite(lock, list(lock["debian"])).items():
        apt = Apt(folder / suite, suite, system)
        if not apt.signed:
            raise BringError("new pins need Debian's signatures: install debian-archive-keyring")
        apt.update()
        renew_groups(lock, groups, apt)


def renew_groups(lock: dict[str, Any], groups: list[str], apt: Apt) -> None:
    """Write the versions that a suite has of some groups into the lock."""
    system = apt.system
    found = apt.available([name for group in groups for name in lock["debian"][group]])
    for group in (lock["debian"][group] for group in groups):
        for name in group:
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


def renewed(lock: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the lock, renewed for every system.

    Raises:
        BringError: A package is gone from the suite, or its mirror does not answer.
    """
    new: dict[str, Any] = json.loads(json.dumps(lock))
    folder = Path(tempfile.mkdtemp())
    try:
        for system in ARCHITECTURES:
            renew(new, system, folder / system)
    finally:
        shutil.rmtree(folder)
    gone = sorted(name for group in new["debian"].values() for name in group if not group[name])
    if gone:
        raise BringError(
            f"Debian {' and '.join(by_suite(new, list(new['debian'])))} have no package {', '.join(gone)}"
        )
    return new


def main(root: Path) -> None:
    """Renew the registry lock of a checkout; it stays as it was when anything fails."""
    target = root / "nix/registry/lock.json"
    old = json.loads(target.read_text())
    try:
        new = renewed(old)
    except BringError as error:
        sys.exit(f"lock: {error}; nix/registry/lock.json stays as it was")
    print("\n".join(moved(old["debian"], new["debian"])) or "Debian packages: nothing moved")
    target.write_text(json.dumps(new, indent=1) + "\n")
    target.with_name("lock.local.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
