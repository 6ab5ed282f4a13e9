"""What bringing artifacts has in common: running the machine's programs, telling how far it is.

Runs on the machine's Python, 3.9 or newer: standard library only.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

# Seconds between two lines about how far a step is.
PERIOD = 4.0
NEEDED = "about 4 GB are needed in all"


class BringError(Exception):
    """An artifact cannot be brought; the text is one sentence with what to do."""


def data_home() -> Path:
    """Return the user's data directory of this project, as ./nixw chose it."""
    return Path(os.environ["DAGMA_DATA"])


def say(text: str) -> None:
    """Print one line about what goes on."""
    print(f"nixw: {text}", file=sys.stderr, flush=True)


def last_line(text: str, prefix: str = "") -> str:
    """Return the last line of a program's output that starts with a prefix, or its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(prefix)]
    return (marked or lines or ["no message"])[-1]


def run(
    command: list[str], cwd: Path, env: Optional[dict[str, str]] = None
) -> "subprocess.CompletedProcess[str]":
    """Run a program in English with its output captured; it does not outlive this process.

    Raises:
        BringError: It is not there, or it failed for want of disk space.
    """
    if not shutil.which(command[0]):
        raise BringError(not_there(command[0]))
    if shutil.which("setpriv"):  # of util-linux; apt left alone would hold its locks
        command = ["setpriv", "--pdeathsig", "TERM", *command]
    environment = {**os.environ, "LC_ALL": "C", **(env or {})}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode and "No space left on device" in done.stderr + done.stdout:
        raise BringError(f"no disk space left below {data_home()} or in the Nix store: {NEEDED}")
    return done


def not_there(program: str) -> str:
    """Return one sentence for a program that is missing."""
    if program.startswith(("apt-", "dpkg-")):
        return f"{program} is not on PATH: the registry set needs a Debian-family machine"
    return f"{program} is not on PATH"


@contextlib.contextmanager
def told(what: str, how_far: Optional[Callable[[], str]] = None) -> Iterator[None]:
    """Say every few seconds how far a step is, or how long it already takes."""
    start = time.monotonic()
    done = threading.Event()

    def tell() -> None:
        while not done.wait(PERIOD):
            say(f"{what}: {how_far() if how_far else f'{time.monotonic() - start:.0f} s'}")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def count(folder: Path, suffix: str, total: int) -> Callable[[], str]:
    """Return a function that tells how many files of a kind a tree holds, of how many, in MB."""

    def how_far() -> str:
        sizes = files(folder, suffix)
        return f"{len(sizes)} of {total}, {sum(sizes.values()) // 1_000_000} MB"

    return how_far


def megabytes(folder: Path) -> str:
    """Return how many MB a tree holds."""
    return f"{sum(files(folder).values()) // 1_000_000} MB so far"


def files(folder: Path, suffix: str = "") -> dict[str, int]:
    """Return the sizes of a tree's files by path, or by name when only those of a kind count."""
    sizes = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            with contextlib.suppress(OSError):  # renamed meanwhile by the program that writes it
                if name.endswith(suffix):
                    sizes[name if suffix else str(path)] = path.lstat().st_size
    return sizes


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder for downloads that is gone afterwards, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="part-", dir=data_home()) as folder:
        yield Path(folder)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)
