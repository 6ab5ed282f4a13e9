"""The environment of a service is the stack's, and its daemon the only one.

Changes: `DagsterInstance.__init__`, before and after Dagster's own. Dagster puts the file `.env` of the
current directory over the environment in each of its commands, since
https://github.com/dagster-io/dagster/pull/14396; there is no issue about its precedence. That two daemons
on one instance run things twice is https://github.com/dagster-io/dagster/issues/33962.
"""

import os
import sys
from pathlib import Path
from typing import Any

import click
from dagster import DagsterInstance

#: In the environment of the stack's services, see `dagma.stack.environment`.
SUPERVISED = "DAGMA_SUPERVISED"
#: In a shell that evaluated `dagma env`, as `nix develop` does.
SHELL = "DAGMA_ENV"


def refuse_second_daemon() -> None:
    """Keep `dagster dev` and `dagster-daemon` of a development shell off the stack's instance.

    Raises:
        click.ClickException: It is one of them.
    """
    program = Path(sys.argv[0]).name
    second = program == "dagster-daemon" or sys.argv[1:2] == ["dev"]
    if second and SHELL in os.environ and SUPERVISED not in os.environ:
        raise click.ClickException(
            "DAGSTER_HOME is the stack's, whose daemon another one would disturb. Use the stack"
            " (`dagma up`, `dagma reload --watch`), or take an instance for this call only:"
            " `env -u DAGSTER_HOME dagster dev -m dagma.definitions`."
        )


def undo_dotenv() -> None:
    """Take back what Dagster's commands put over a service's environment from `.env`.

    Before they make the instance they read the file of the current directory by rules of their own:
    it wins over the environment, `$` has a meaning, and secrets go to every child. The stack has
    read it already, and started the service with what the service should have.
    """
    if SUPERVISED not in os.environ or not Path(".env").is_file():
        return
    import psutil  # not in the images, where no .env lies
    from dotenv import dotenv_values

    started_with = psutil.Process().environ()
    for name, value in dotenv_values(".env").items():
        if value is None or os.environ.get(name) != value:
            continue
        if name in started_with:
            os.environ[name] = started_with[name]
        else:
            del os.environ[name]


class GivenEnvironment(DagsterInstance):
    """An instance whose process keeps the environment that it was started with."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        refuse_second_daemon()
        super().__init__(*arguments, **options)
        undo_dotenv()
