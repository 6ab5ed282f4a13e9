"""Renew nix/registry/lock.json: the newest packages of the Debian suite, and say what moved.

The names in the lock stay (add one with an empty object, then run this); their versions and hashes
are renewed. process-compose is renewed by hand: set its version, empty its hash, and `./nixw`
prints the new one.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bring import make_seed
from debian import ARCHITECTURES, Apt, BringError, Package
from store import archive_sha256


def renew(lock: dict[str, Any], system: str, folder: Path) -> None:
    """Write the suite's versions for one system into the lock, and the seed's hash with them."""
    apt = Apt(folder, lock["suite"], system)
    apt.update()
    names = [name for group in lock["debian"].values() for name in group]
    found = apt.available(names)
    for group in lock["debian"].values():
        for name in group:
            # A few libraries exist for one processor only (libcpuid17).
            group[name].pop(system, None)
            if name in found:
                group[name][system] = dict(found[name]._asdict())
    lock["seed"][system] = seed_hash(apt, found["busybox-static"])


def seed_hash(apt: Apt, package: Package) -> str:
    """Return the sha256 (hex, of its Nix archive) of the seed made from a busybox package."""
    with tempfile.TemporaryDirectory() as folder:
        file = apt.download({"busybox-static": package}, Path(folder))["busybox-static"]
        return archive_sha256(make_seed(file, Path(folder)))


def moved(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Print each package whose version or content changed on some system."""
    lines = [
        f"{name} ({system}): {old[group][name].get(system, {}).get('version', 'absent')}"
        f" -> {entry['version']}"
        for group, packages in new.items()
        for name, systems in packages.items()
        for system, entry in systems.items()
        if old[group][name].get(system) != entry
    ]
    print("\n".join(lines) or "Debian: nothing moved")


def main(root: Path) -> None:
    """Renew the registry lock of a checkout; it stays as it was when anything fails."""
    target = root / "nix/registry/lock.json"
    lock = json.loads(target.read_text())
    folder = Path(tempfile.mkdtemp())
    try:
        for system in ARCHITECTURES:
            renew(lock, system, folder / system)
    except BringError as error:
        sys.exit(f"lock: {error}")
    finally:
        shutil.rmtree(folder)
    missing = sorted(n for group in lock["debian"].values() for n in group if not group[n])
    if missing:
        sys.exit(f"lock: Debian {lock['suite']} has no package {', '.join(missing)}")
    moved(json.loads(target.read_text())["debian"], lock["debian"])
    target.write_text(json.dumps(lock, indent=1) + "\n")
    target.with_name("lock.local.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
