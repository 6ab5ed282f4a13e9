"""Load every shared library and extension module of installed wheels once, each wheel in a process of its own.

Usage: python load_libraries.py PREFIX..., each PREFIX one installed wheel. Prints how many were loaded;
ends with status 1 and a line for each wheel of which one failed. A library that was patched wrongly
builds without a word and ends the process that loads it.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: Loads the libraries that it is given and prints each before, so that the last one is what failed.
#: RTLD_NOW, ctypes' default: every symbol is looked up. It leaves without the libraries' own clearing up,
#: which in some takes for granted that they were imported as modules.
LOAD = """
import ctypes, os, sys
for path in sys.argv[1:]:
    print(path, flush=True)
    ctypes.CDLL(path)
os._exit(0)
"""


def libraries(prefix: Path) -> list[str]:
    """Return the shared libraries of a wheel."""
    endings = (".dylib", ".so")
    return [
        str(path)
        for path in sorted(prefix.rglob("*"))
        if path.is_file() and (path.suffix in endings or ".so." in path.name)
    ]


def failures(prefix: Path, paths: list[str]) -> Iterator[str]:
    """Load the libraries of one wheel; yields a line if that failed."""
    command = [sys.executable, "-c", LOAD, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stdout.splitlines() or ["nothing was loaded"])[-1]
        why = done.stderr.strip().rpartition("\n")[2]
        how = f"signal {-done.returncode}" if done.returncode < 0 else why
        yield f"{prefix.name}: {last}: {how}"


def main(prefixes: list[Path]) -> None:
    """Load everything."""
    loaded = 0
    mistakes: list[str] = []
    for prefix in prefixes:
        if paths := libraries(prefix):
            mistakes += failures(prefix, paths)
            loaded += len(paths)
    print(f"{loaded} libraries of {len(prefixes)} wheels, {len(mistakes)} wheels failed")
    print("\n".join(mistakes), file=sys.stderr)
    sys.exit(1 if mistakes or not loaded else 0)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
