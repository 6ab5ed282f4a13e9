"""Wheels by the machine's own pip: its index, proxy, credentials and certificates."""

import re
import sys
import tempfile
from pathlib import Path
from typing import Optional

from machine import BringError, count, last_line, run, told
from pins import SYSTEM
from store import Artifact, compare


def platforms(system: str) -> list[str]:
    """Return the wheel platforms of a Nix system, those of ../python/lock_wheels.py, for pip."""
    machine, kernel = system.split("-")
    if kernel == "darwin":
        return ["macosx_14_0_arm64"]  # pip adds the older ones and the universal ones itself
    return [
        *(f"manylinux_2_{minor}_{machine}" for minor in range(41, 4, -1)),
        *(f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")),
    ]


def pip_command(requirements: Path, folder: Path, system: str = SYSTEM) -> list[str]:
    """Return the pip call that downloads wheels of CPython 3.13, whatever Python runs pip."""
    return [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *("--disable-pip-version-check", "--progress-bar=off", "--require-hashes"),
        *("--python-version=3.13", "--implementation=cp"),
        *(f"--abi={abi}" for abi in ("cp313", "abi3", "none")),
        *(f"--platform={name}" for name in platforms(system)),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]


def download_wheels(
    wheels: dict[str, Artifact], folder: Path, system: Optional[str] = None
) -> list[Path]:
    """Download wheels, keyed by requirement, into a folder and return their files.

    Raises:
        BringError: pip is missing or failed, or a file is not the pinned one.
    """
    lines = [f"{pin} --hash=sha256:{wheel.sha256}\n" for pin, wheel in wheels.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", dir=folder) as requirements:
        requirements.write("".join(lines))
        requirements.flush()
        command = pip_command(Path(requirements.name), folder, system or SYSTEM)
        settings = {"TMPDIR": str(folder), "PIP_REQUIRE_VIRTUALENV": "0"}
        with told("Python wheels", count(folder, ".whl", len(wheels))):
            done = run(command, folder, settings)
    if done.returncode:
        raise BringError(pip_sentence(done.stdout + done.stderr))
    for wheel in wheels.values():
        compare(folder / wheel.name, wheel.sha256)
    return [folder / wheel.name for wheel in wheels.values()]


def pip_sentence(output: str) -> str:
    """Return one sentence for what pip printed when it failed."""
    if "No module named pip" in output:
        return f"{sys.executable} has no pip: install it (Debian: apt-get install python3-pip)"
    if "DO NOT MATCH THE HASHES" in output:
        found = re.search(r"(\S+==\S+) from .*?Got\s+(\w+)", output, re.DOTALL)
        pin, got = found.groups() if found else ("a wheel", "another sha256")
        return (
            f"the index serves {pin} with sha256 {got}, the lock says otherwise: "
            "nothing was taken over"
        )
    why = last_line(output, "ERROR:").replace("ERROR: ", "")
    unreached = re.search(r"connection broken by [\"']?(.*?)[\"']?: /", output)
    if unreached:
        why = "the index was not reached: " + re.sub(r"<.*?>: ", "", unreached.group(1))
    return (
        f"pip could not download wheels ({why}): "
        "see index, proxy and certificates in `pip config list`"
    )
