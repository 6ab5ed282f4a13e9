"""Install one wheel into a store path: unpack, point its ELF files at the set's libraries, compile.

Usage: python install.py WHEEL OUT, with `installer` importable. On Linux the environment gives
PATCHELF (the program), LIBRARIES (folders) and LOADER (the dynamic linker).
"""

import compileall
import os
import py_compile
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

# environment.py puts the interpreter of the role's environment in its place.
INTERPRETER = "@python@"

# What a manylinux wheel may expect of the machine beside the C library (PEP 600), as far as the
# wheels of our lock use it.
PROVIDED = {"libstdc++.so.6", "libgcc_s.so.1", "libz.so.1"}
C_LIBRARY = tuple(f"lib{name}.so" for name in ("c", "m", "dl", "rt", "pthread", "util", "resolv"))
LOADER = "ld-linux"
TESTS = re.compile(r"/tests?/")


def unpack(wheel: Path, out: Path) -> Path:
    """Unpack a wheel below a prefix and return its site-packages."""
    site = out / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    scheme = {"purelib": site, "platlib": site, "scripts": out / "bin", "data": out}
    scheme["headers"] = out / "include"
    destination = SchemeDictionaryDestination(
        {key: str(path) for key, path in scheme.items()}, INTERPRETER, "posix"
    )
    # A wheel must have its own name; in the store a hash stands before it.
    named = Path.cwd() / wheel.name.split("-", 1)[1]
    named.symlink_to(wheel)
    with WheelFile.open(named) as source:
        install(source, destination, {"INSTALLER": b"dagma"})
    return site


def elf_files(out: Path) -> Iterator[Path]:
    """Yield the programs and shared libraries of a tree."""
    for path in sorted(out.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as content:
                if content.read(4) == b"\x7fELF":
                    yield path


def run_patchelf(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run patchelf and return how it ended and what it printed."""
    command = [os.environ["PATCHELF"], *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def written_in(path: Path, question: str) -> str:
    """Return what an ELF file says of itself, nothing if it has no such section.

    Raises:
        SystemExit: patchelf cannot read the file.
    """
    done = run_patchelf(question, str(path))
    # A static program has no section .dynamic, a library no .interp; all other words are errors.
    if done.returncode and "cannot find section" not in done.stderr:
        sys.exit(f"install: patchelf {question} cannot read {path}: {done.stderr.strip()}")
    return "" if done.returncode else done.stdout.strip()


def write_into(path: Path, option: str, value: str) -> None:
    """Change an ELF file.

    Raises:
        SystemExit: patchelf failed; the file would load the machine's libraries, or none.
    """
    done = run_patchelf(option, value, str(path))
    if done.returncode:
        sys.exit(f"install: patchelf {option} {value} failed on {path}: {done.stderr.strip()}")


def patch(path: Path, bundled: set[str]) -> None:
    """Let one ELF file find the set's loader and libraries.

    Raises:
        SystemExit: It needs a library that neither its wheel nor the set has, or patchelf failed.
    """
    needed = set(written_in(path, "--print-needed").split())
    known = (*C_LIBRARY, LOADER)
    unknown = {name for name in needed - PROVIDED - bundled if not name.startswith(known)}
    if unknown:
        sys.exit(f"install: {path.name} needs {', '.join(sorted(unknown))}: add it to PROVIDED")
    path.chmod(0o755)
    if written_in(path, "--print-interpreter"):
        write_into(path, "--set-interpreter", os.environ["LOADER"])
    # libc.so.6 itself is loaded before any wheel; all others are looked for.
    if needed - bundled - {"libc.so.6"}:
        folders = os.environ["LIBRARIES"].split()
        write_into(path, "--add-rpath", ":".join(folders))


def main(wheel: Path, out: Path) -> None:
    """Install a wheel."""
    site = unpack(wheel, out)
    if sys.platform == "linux":
        files = list(elf_files(out))
        for path in files:
            patch(path, {path.name for path in files})
    # Unchecked: the store never changes a file, so no start has to look at times or hashes.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    # The packages' own tests are a third of the files and are never run here.
    compileall.compile_dir(site, quiet=2, force=True, rx=TESTS, invalidation_mode=mode)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
