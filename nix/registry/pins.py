"""The pinned artifacts: lock.json, what this machine took instead of aged pins, and the wheels.

lock.nix reads the same files; names and versions must come out the same in both.
"""

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any, NamedTuple, Optional

from machine import BringError, say, write
from store import Artifact

HERE = Path(__file__).resolve().parent


def system(machine: str, kernel: str) -> str:
    """Return Nix's name of a system, given uname's two words: macOS says arm64 for aarch64."""
    return f"{'aarch64' if machine == 'arm64' else machine}-{kernel.lower()}"


SYSTEM = system(platform.machine(), platform.system())
ARCHITECTURES = {"x86_64-linux": "amd64", "aarch64-linux": "arm64"}
#: What images are made of: groups of Debian packages, and all roles of ../python/lock.json but these.
IMAGE_GROUPS = ["base", "locale", "notices", "python", "tini"]
TOOLS = {"build", "dev", "sbom", "signing"}
#: What the lock's names begin with of which only the checks in nix/twins.nix make use.
TWIN = "twin-"
#: The group of packages that Go programs among them are built with.
TWIN_GO = "twin-go"


class Package(NamedTuple):
    """One binary package of the suite: its version and the sha256 (hex) of its .deb."""

    version: str
    sha256: str


def read(path: Path) -> dict[str, Any]:
    """Return a JSON file's object.

    Raises:
        BringError: The file is not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise BringError(f"{path} is not JSON ({error}): restore it with git") from error
    return content


def registry_lock() -> dict[str, Any]:
    """Return lock.json, with what lock.local.json says of this machine put over it."""
    lock = read(HERE / "lock.json")
    local = HERE / "lock.local.json"
    if local.exists():
        overlay = read(local)
        for group in lock["debian"].values():
            for name in group.keys() & overlay["debian"].keys():
                group[name].update(overlay["debian"][name])
        lock["seed"].update(overlay["seed"])
    return lock


def foreign_system() -> str:
    """Return the other system that the registry set has packages for.

    Raises:
        BringError: It has none for this one.
    """
    check_system(SYSTEM)
    (other,) = ARCHITECTURES.keys() - {SYSTEM}
    return other


def check_system(system: str) -> None:
    """Raise BringError when the registry set has nothing for a system."""
    if system not in ARCHITECTURES:
        raise BringError(
            f"there are registry packages for {' and '.join(ARCHITECTURES)}, not for {system}: "
            "install Nix, which ./nixw then uses with nixpkgs' packages"
        )


def pins(
    lock: dict[str, Any], groups: list[str], system: Optional[str] = None
) -> dict[str, Package]:
    """Return the pinned Debian packages of some groups on a system; without a name it is this one.

    Raises:
        BringError: The registry set has nothing for this system.
    """
    system = system or SYSTEM
    check_system(system)
    return {
        name: Package(**systems[system])
        for group in groups
        for name, systems in lock["debian"][group].items()
        if system in systems
    }


def store_groups(lock: dict[str, Any], twins: bool, go: bool) -> list[str]:
    """Return the groups of packages that go into the store: all but Nix itself, twins if asked for."""
    asked = {"nix": False, TWIN_GO: go}
    return [
        group for group in lock["debian"] if asked.get(group, twins or not group.startswith(TWIN))
    ]


def by_suite(lock: dict[str, Any], groups: list[str]) -> dict[str, list[str]]:
    """Return the groups of each Debian suite; it is the lock's `suite` unless `suites` has another."""
    found: dict[str, list[str]] = {}
    for group in groups:
        found.setdefault(lock["suites"].get(group, lock["suite"]), []).append(group)
    return found


def deb_name(name: str, version: str, system: str) -> str:
    """Return the store path name of a package: no epoch, no character that Nix refuses."""
    return f"{name}_{version.split(':')[-1].replace('~', '.')}_{ARCHITECTURES[system]}.deb"


def deb_artifact(name: str, package: Package, system: Optional[str] = None) -> Artifact:
    """Return the store's view of a Debian package, as in `pins`."""
    return Artifact(deb_name(name, package.version, system or SYSTEM), package.sha256)


def seed_artifact(lock: dict[str, Any]) -> Artifact:
    """Return the store's view of the seed."""
    return Artifact("seed", lock["seed"][SYSTEM], recursive=True)


def wheel_artifacts(system: Optional[str] = None, tools: bool = True) -> dict[str, Artifact]:
    """Return the pinned wheels of a system by requirement, `name==version`.

    Args:
        system: As in `pins`.
        tools: With those that no image has.

    Raises:
        BringError: There are none for this system.
    """
    system = system or SYSTEM
    lock = read(HERE.parent / "python/lock.json")
    roles = [role for name, role in lock["roles"].items() if name not in TOOLS]
    names = {name for role in roles for name in role["packages"]}
    wheels = {
        f"{name}=={package['version']}": Artifact(wheel["file"], wheel["sha256"])
        for name, package in lock["packages"].items()
        for wheel in [package["wheels"].get(system)]
        if wheel and (tools or name in names)
    }
    if not wheels:
        raise BringError(f"nix/python/lock.json has no wheels for {system}")
    return wheels


def locked() -> bool:
    """Say whether DAGMA_LOCKED asks for exactly what the locks pin."""
    return os.environ.get("DAGMA_LOCKED", "").lower() in ("1", "true", "yes", "on")


# --- aged pins ------------------------------------------------------------------------------------


def lock_digest() -> str:
    """Return the sha256 of lock.json: an overlay holds for one lock."""
    return hashlib.sha256((HERE / "lock.json").read_bytes()).hexdigest()


def forget_old_overlay() -> None:
    """Remove an overlay that was made for an earlier lock.json, which a pull has replaced."""
    local = HERE / "lock.local.json"
    if local.exists() and read(local).get("lock") != lock_digest():
        local.unlink()
        say("nix/registry/lock.json is newer than this machine's lock.local.json: removed that")


def check_recordable() -> None:
    """Raise BringError when this machine's choice could not be written next to the lock."""
    if not os.access(HERE, os.W_OK):
        raise BringError(
            f"a pin has aged and {HERE} is not writable, so what is taken instead cannot be "
            "recorded there: use a checkout of your own"
        )


def remember(taken: dict[str, Package], seed: str = "", system: Optional[str] = None) -> None:
    """Record in the untracked lock.local.json where this machine differs from the lock."""
    system = system or SYSTEM
    lock = read(HERE / "lock.json")
    pinned = pins(lock, list(lock["debian"]), system)
    moved = {name: {system: p._asdict()} for name, p in taken.items() if pinned[name] != p}
    if moved:
        target = HERE / "lock.local.json"
        old = read(target) if target.exists() else {"debian": {}, "seed": {}}
        known = old["debian"]
        overlay = {
            "lock": lock_digest(),
            "debian": {**known, **{name: {**known.get(name, {}), **moved[name]} for name in moved}},
            "seed": {**old["seed"], **({SYSTEM: seed} if seed else {})},
        }
        write(target, json.dumps(overlay, indent=1) + "\n")
