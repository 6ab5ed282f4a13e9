"""`reload`."""

import click

from dagma.cli import base


@click.command()
@click.option("--watch", is_flag=True, help="Reload after each change of the code until Ctrl-C.")
def reload_command(watch: bool) -> None:
    """Load the code that this command has, and settings.

    Runs in progress finish on the code that they began with. Code that does not load is refused, and what was loaded before goes on serving.
    """
    from dagma.stack import reload

    stack, news = base.stack(), _News()
    if not watch:
        reload.renew(stack, news)
        return
    with base.interruptible():
        reload.keep_renewing(stack, news)


class _News:
    """What is printed of each reload."""

    def say(self, line: str) -> None:
        """Print a line."""
        base.say(line)

    warn = staticmethod(base.warn)

    def refused(self, error: Exception) -> None:
        """Print why code was not loaded."""
        click.echo(f"dagma: {error}", err=True)
