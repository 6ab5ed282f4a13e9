"""Bring Nix and the pinned artifacts of the registry set to this machine, by its own clients.

`bring.py nix` unpacks Debian's Nix into the user's data directory and prints where;
`bring.py artifacts` adds the wheels, Debian packages and Go modules of the locks to the Nix store
and prints their store paths; `bring.py twins` does so with those of nix/twins.nix too, but for Go
programs and their Go, `bring.py every-twin` with all, and `bring.py wheels` with the wheels alone,
which nixpkgs' set takes as well; `bring.py foreign` with what images for the other system are made of. A store path of pinned content follows from name and hash alone, so
Nix then finds it valid and never fetches. DAGMA_OTHERWISE ends the sentence of an error.

Called by ./nixw, on the machine's Python (3.9 or newer): standard library only.
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from debian import current, make_seed, open_suite
from go_modules import vendor
from machine import NEEDED, BringError, data_home, say, scratch, write
from own_nix import nix
from pins import (
    HERE,
    IMAGE_GROUPS,
    TWIN,
    Package,
    by_suite,
    deb_artifact,
    foreign_system,
    forget_old_overlay,
    locked,
    pins,
    read,
    registry_lock,
    remember,
    seed_artifact,
    store_groups,
    wheel_artifacts,
)
from store import Artifact, add, archive_sha256, missing
from wheels import download_wheels


def bring_debs(groups: list[str], system: Optional[str] = None) -> list[Artifact]:
    """Bring the Debian packages of some groups, and the seed, that the store lacks.

    Args:
        groups: Names in the lock.
        system: The system that the packages are for; without a name it is this one.

    Returns:
        All of the packages.
    """
    lock = registry_lock()
    for suite, those in by_suite(lock, groups).items():
        wanted = lacking_debs(lock, those, system)
        if wanted:
            add_debs(wanted, suite, system)
    packages = pins(registry_lock(), groups, system)
    return [deb_artifact(name, pin, system) for name, pin in packages.items()]


def lacking_debs(
    lock: dict[str, Any], groups: list[str], system: Optional[str] = None
) -> dict[str, Package]:
    """Return the packages of some groups that the store lacks, or that the seed is to be made of."""
    packages = pins(lock, groups, system)
    seed = seed_artifact(lock)
    artifacts = {name: deb_artifact(name, pin, system) for name, pin in packages.items()}
    lacking = missing([seed, *artifacts.values()])
    return {
        name: pin
        for name, pin in packages.items()
        if artifacts[name] in lacking or (name == "busybox-static" and seed in lacking)
    }


def add_debs(wanted: dict[str, Package], suite: str, system: Optional[str] = None) -> None:
    """Download packages into the store, with busybox the seed, and record what differs."""
    apt = open_suite(suite, system)
    taken = current(apt, wanted)
    say(f"bringing {len(taken)} Debian packages{f' for {system}' if system else ''} with apt")
    with scratch() as folder:
        seed_hash = ""
        files = apt.download(taken, folder)
        for name, file in files.items():
            files[name] = file.rename(folder / deb_artifact(name, taken[name], system).name)
        if "busybox-static" in files:
            seed = make_seed(files["busybox-static"], folder)
            seed_hash = archive_sha256(seed)
            add([seed], recursive=True)
        add(list(files.values()))
    remember(taken, seed_hash, system)


def bring_wheels(system: Optional[str] = None, tools: bool = True) -> list[Artifact]:
    """Bring the wheels that the store lacks, as in `wheel_artifacts`; returns all of them."""
    wheels = wheel_artifacts(system, tools)
    lacking = missing(wheels.values())
    wanted = {pin: wheel for pin, wheel in wheels.items() if wheel in lacking}
    if wanted:
        say(f"bringing {len(wanted)} Python wheels{f' for {system}' if system else ''} with pip")
        with scratch() as folder:
            add(download_wheels(wanted, folder, system))
    return list(wheels.values())


def bring_go(name: str) -> Artifact:
    """Bring the source of a Go program of the lock with its vendored modules.

    Raises:
        BringError: Go failed, or the content is not the pinned one.
    """
    pin = registry_lock()["go"][name]
    title = f"{name.replace(TWIN, '')}-{pin['version']}"
    source = Artifact(title, pin["sha256"], recursive=True)
    if not pin["sha256"] or missing([source]):
        say(f"bringing {title} and its Go modules")
        with scratch() as folder:
            tree = vendor(pin["module"], pin["version"], folder / title, name.startswith(TWIN))
            source = source._replace(sha256=accepted(name, pin, archive_sha256(tree)))
            add([tree], recursive=True)
    return source


def accepted(name: str, pin: dict[str, str], actual: str) -> str:
    """Return the hash of a Go program's tree if it is the pinned one, or the pin is to be made.

    Raises:
        BringError: It is another one.
    """
    if not pin["sha256"] and not locked():
        lock = read(HERE / "lock.json")
        lock["go"][name]["sha256"] = actual
        write(HERE / "lock.json", json.dumps(lock, indent=1) + "\n")
        say(f"lock.json had no sha256 of {name} {pin['version']}: recorded {actual}")
    elif pin["sha256"] != actual:
        raise BringError(
            f"{name} {pin['version']} with its modules has sha256 {actual}, the lock says "
            f"{pin['sha256'] or 'nothing'}: nothing was taken over"
        )
    return actual


def artifacts(twins: bool = False, go: bool = False) -> list[Artifact]:
    """Bring every artifact of the registry set; returns all of them.

    Args:
        twins: With those of nix/twins.nix that are Debian packages.
        go: With those that are Go programs.
    """
    programs = [name for name in registry_lock()["go"] if go or not name.startswith(TWIN)]
    debs = bring_debs(store_groups(registry_lock(), twins, go))
    seed = seed_artifact(registry_lock())
    return [seed, *debs, *bring_wheels(), *map(bring_go, programs)]


def foreign() -> list[Artifact]:
    """Bring what images for the other system are made of; returns all of it."""
    system = foreign_system()
    return [*bring_debs(IMAGE_GROUPS, system), *bring_wheels(system, tools=False)]


def store_paths(brought: Iterable[Artifact]) -> str:
    """Return the store paths of artifacts, a line each."""
    return "\n".join(artifact.path for artifact in brought)


COMMANDS: dict[str, Callable[[], object]] = {
    "nix": nix,
    "artifacts": lambda: store_paths(artifacts()),
    "twins": lambda: store_paths(artifacts(twins=True)),
    "every-twin": lambda: store_paths(artifacts(twins=True, go=True)),
    "wheels": lambda: store_paths(bring_wheels()),
    "foreign": lambda: store_paths(foreign()),
}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the data directory for one caller; what a killed one left there is removed."""
    data_home().mkdir(parents=True, exist_ok=True)
    with (data_home() / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another nixw is bringing artifacts: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        for left in data_home().glob("part-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def stop(number: int, frame: object) -> None:
    """End as on Ctrl-C, so that downloads in progress are removed."""
    raise KeyboardInterrupt


def sentence(error: OSError) -> str:
    """Return one sentence for an error of the operating system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no disk space left below {data_home()}: {NEEDED}"
    return f"{error.filename or data_home()}: {error.strerror}"


def main(command: str) -> None:
    """Run one of the commands; an error is one sentence and exit code 1."""
    otherwise = os.environ.get("DAGMA_OTHERWISE", "")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        with alone():
            forget_old_overlay()
            print(COMMANDS[command]())
    except BringError as error:
        sys.exit(f"nixw: {error}{otherwise}")
    except KeyboardInterrupt:
        sys.exit("nixw: stopped; what was not finished is removed")
    except OSError as error:
        sys.exit(f"nixw: {sentence(error)}{otherwise}")


if __name__ == "__main__":
    main(*sys.argv[1:])
