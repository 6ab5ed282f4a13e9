"""Link installed wheels into one prefix, a virtual environment of the set's Python.

Usage: python environment.py OUT PREFIX..., each PREFIX one installed wheel.
A folder that one wheel brings alone is one link; folders that several bring (namespace packages,
site-packages itself) are merged. Scripts are copied, with this environment's interpreter.
"""

import filecmp
import sys
from collections.abc import Callable
from pathlib import Path

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def merge(sources: list[Path], target: Path) -> None:
    """Make `target` show what all sources hold.

    Raises:
        SystemExit: Two sources hold different files of one name.
    """
    if len(sources) == 1:
        target.symlink_to(sources[0])
    elif all(source.is_dir() for source in sources):
        target.mkdir()
        merge_entries(sources, target)
    elif sources[0].suffix == ".pyc" or all(map(same(sources[0]), sources[1:])):
        # Bytecode names its path, so it differs where the source, compared beside it, does not.
        target.symlink_to(sources[0])
    else:
        sys.exit(f"environment: these differ: {' '.join(map(str, sources))}")


def same(first: Path) -> Callable[[Path], bool]:
    """Return a test of whether a file has the content of the first."""
    return lambda other: filecmp.cmp(first, other, shallow=False)


def merge_entries(sources: list[Path], target: Path) -> None:
    """Merge the entries of folders, name by name."""
    names: dict[str, list[Path]] = {}
    for source in sources:
        for entry in source.iterdir():
            names.setdefault(entry.name, []).append(entry)
    for name, entries in sorted(names.items()):
        merge(entries, target / name)


def link_script(script: Path, target: Path, interpreter: Path) -> None:
    """Copy a Python script with this environment's interpreter; link any other program."""
    content = script.read_bytes()
    if content.startswith(b"#!@python@"):
        target.write_bytes(content.replace(b"@python@", str(interpreter).encode(), 1))
        target.chmod(0o755)
    elif not target.exists():
        target.symlink_to(script)


def main(out: Path, prefixes: list[Path]) -> None:
    """Build the environment."""
    base = Path(sys.base_prefix)
    (out / "bin").mkdir(parents=True)
    for name in ("python", "python3", f"python{VERSION}"):
        (out / "bin" / name).symlink_to(base / f"bin/python{VERSION}")
    home = f"home = {base}/bin\ninclude-system-site-packages = false\nversion = {VERSION}\n"
    (out / "pyvenv.cfg").write_text(home)
    for folder in ("lib", "share"):
        found = [prefix / folder for prefix in prefixes if (prefix / folder).is_dir()]
        if found:
            merge(found, out / folder)
    for script in sorted(path for prefix in prefixes for path in (prefix / "bin").glob("*")):
        link_script(script, out / "bin" / script.name, out / "bin/python")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
