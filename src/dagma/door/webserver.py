"""Start Dagster's webserver behind the door: `python -m dagma.door.webserver ARGS`.

Dagster makes its application by a class of its own, `DagsterWebserver`, whose method
`build_middleware` is there to be overridden; no command names another class. So the name by which
`dagster_webserver.app` knows it is given one of ours.
"""

import os
from typing import Any

from dagster_webserver import app, cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware

from dagma import stopped
from dagma.door import site, token
from dagma.door.guard import Guard
from dagma.door.login import Login


class GuardedWebserver(DagsterWebserver[Any, Any]):
    """Dagster's webserver, which asks at the door first."""

    def build_middleware(self) -> list[Middleware]:
        """The door, then Dagster's own."""
        door = [Middleware(Guard, site=site.of_dagster(os.environ), framed=False)]
        if secret := token.read(os.environ):
            door.append(Middleware(Login, token=secret, product="webserver"))
        return [*door, *super().build_middleware()]


def main() -> None:
    """Become `dagster-webserver`; the arguments are its own."""
    app.DagsterWebserver = GuardedWebserver  # type: ignore[attr-defined]
    stopped.run(cli.main)


if __name__ == "__main__":
    main()
