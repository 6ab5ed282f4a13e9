"""Check that an environment has what the kit needs, and nothing of the example's packages.

Usage: python check_kit.py PACKAGE..., the packages that only the example needs.
"""

import pkgutil
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import dagma.kit

#: What the kit imports when it is used, by its extras.
USED = ("mlflow", "pandas", "pyarrow", "qdrant_client")


def main(packages: list[str]) -> None:
    """Import every module of the kit; look for the packages.

    Raises:
        SystemExit: There are some, or there was nothing to look for.
    """
    modules = [one.name for one in pkgutil.walk_packages(dagma.kit.__path__, "dagma.kit.")]
    for name in (*modules, *USED):
        import_module(name)
    found = [name for name in packages if _is_here(name)]
    if found or not modules or not packages:
        sys.exit(f"check_kit: here are packages of the example: {' '.join(found) or 'none named'}")
    print(f"{len(modules)} modules of the kit, none of {len(packages)} packages of the example")


def _is_here(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
