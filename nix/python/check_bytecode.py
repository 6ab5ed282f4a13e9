"""Import modules and require that bytecode was there for all that came with them.

Usage: python check_bytecode.py MODULE.... Ends with status 1 and the sources that had to be compiled: in
the store that happens in every process, and root's would write into the store what it compiled.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from typing import Any


def compiled_by(names: list[str]) -> list[str]:
    """Import modules; returns the sources that were compiled."""
    found: list[str] = []
    compile_source: Callable[..., Any] = SourceFileLoader.source_to_code

    def noted(self: SourceFileLoader, data: bytes, path: str, **options: Any) -> Any:  # noqa: ANN401
        found.append(str(path))
        return compile_source(self, data, path, **options)

    SourceFileLoader.source_to_code = noted  # type: ignore[method-assign, assignment]
    for name in names:
        importlib.import_module(name)
    return found


def main(names: list[str]) -> None:
    """Check the modules."""
    found = compiled_by(names)
    print(f"{', '.join(names)}: {len(sys.modules)} modules, {len(found)} compiled")
    sys.exit("\n".join(["compiled:", *found]) if found else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
