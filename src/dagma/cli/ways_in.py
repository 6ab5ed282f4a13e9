"""`env` and `open`."""

import shlex
import sys

import click

from dagma.cli import base


@click.command()
def env_command() -> None:
    """Print the stack's environment as shell exports.

    For `psql`, `dagster`, and `process-compose up`.
    """
    from dagma.stack import shell

    for name, value in shell.exports(base.stack()).items():
        base.say(f"export {name}={shlex.quote(value)}")


@click.command()
@click.argument("service", type=base.Choice(base.pages), default="webserver")
def open_command(service: str) -> None:
    """Open a web interface in your browser.

    Where it asks for a token, with that.

    A terminal also shows the link.
    """
    from dagma.stack import access

    stack = base.stack()
    stack.require_healthy(service)
    terminal = sys.stdout.isatty()
    if terminal:
        base.say(access.address(service, stack.settings))
    access.browse(service, stack.settings, needed=not terminal)
