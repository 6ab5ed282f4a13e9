"""Become the process of a service: `python -m dagma.stack.services NAME`."""

import sys

from dagma.errors import DagmaError
from dagma.stack.services import ALL


def main(name: str) -> None:
    """Start the service of that name; does not return unless it fails."""
    try:
        next(service for service in ALL if service.name == name).serve()
    except DagmaError as error:
        sys.exit(f"dagma: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
