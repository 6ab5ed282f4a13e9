"""The stack's environment for a shell of the user's."""

import os

from dagma.stack import environment, prepare, topology
from dagma.stack.control import Stack


def exports(stack: Stack) -> dict[str, str]:
    """What `psql`, `dagster` and `process-compose up` need; the state directory is made ready.

    A stack that is not running is given what it would be started with, for a start by hand.

    Raises:
        PreflightError: The state directory cannot be written.
    """
    names, _ = topology.members("full", stack.settings)
    prepare.prepare(stack.settings)
    if not stack.running():
        stack.write_started(names)
    values = environment.exports(stack.loaded, names, os.environ)
    values |= environment.client(stack.settings)
    return values | environment.note(values, os.environ)
