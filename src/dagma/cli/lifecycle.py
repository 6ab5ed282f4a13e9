"""`up`, `down` and `restart`."""

import sys

import click

from dagma import interrupts
from dagma.cli import base


@click.command()
@click.argument("group", type=base.Choice(base.groups), default="full")
@click.option("-d", "--detach", is_flag=True, help="Return when all services are healthy.")
@click.option("--tui", is_flag=True, help="Then show process-compose's own interface.")
@click.option("--apply", is_flag=True, help="Bring changed settings and code to what runs.")
def up_command(group: str, detach: bool, tui: bool, apply: bool) -> None:
    """Start the services of a GROUP.

    Without -d it stays. Ctrl-C waits for runs in progress and stops everything; a second one, TERM
    and HUP stop it now. Starting what already runs only says so, and what has changed since; with
    --apply the services concerned take that, and no run ends.
    """
    if tui and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("--tui needs a terminal.")
    from dagma.cli.tables import Screen
    from dagma.stack import access, lifecycle

    stack, screen = base.stack(), Screen()
    with lifecycle.begun(stack, group, apply, screen) as start:
        base.warn(start.problem and f"{start.problem}. Correct it, then `dagma reload`.")
        if start.mine:
            state = "The services are up, without your code" if start.problem else "All healthy"
            how = "`dagma down`" if detach else "Ctrl-C"
            base.say(f"{state}. {how} stops the stack; state is in {stack.settings.home}.")
            base.say(*access.ways_in(start.names, stack.settings, sys.stdout.isatty()))
        if tui:
            stack.supervisor.attach()
        if start.mine and not detach:
            lifecycle.stay(stack, screen.say)
        elif start.problem:
            sys.exit(base.UNHEALTHY)


@click.command()
@click.option(
    "--timeout",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="How long to wait for runs in progress; else as DAGMA_DRAIN_TIMEOUT says.",
)
@click.option("--now", is_flag=True, help="Do not wait for them; they are run again after `up`.")
def down_command(timeout: int | None, now: bool) -> None:
    """Wait for runs in progress, then stop all services.

    They are stopped in order, and no process is left. Meanwhile new runs stay in the queue. Ctrl-C while it waits leaves the stack running.
    """
    from dagma.stack import lifecycle

    stack = base.stack()
    if not stack.settings.home.exists():
        base.say("Nothing is running here.")
        return
    patience = stack.settings.drain_timeout if timeout is None else timeout
    interrupts.catch()
    ran = lifecycle.down(stack, 0 if now else patience, base.say)
    base.say("Everything is stopped; the state is kept." if ran else "Nothing runs here.")


@click.command()
@click.argument("service", shell_complete=base.complete_service)
def restart_command(service: str) -> None:
    """Restart one service with today's settings and code."""
    from dagma.cli.tables import Rows
    from dagma.stack import lifecycle

    stack = base.stack()
    with Rows([service]) as rows:
        lifecycle.restart(stack, service, rows.add)
