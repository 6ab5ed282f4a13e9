"""`status`, `logs`, `schedules` and `doctor`."""

import json
import sys
from dataclasses import asdict

import click

from dagma import interrupts
from dagma.cli import base


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status_command(as_json: bool) -> None:
    """Show the services and the size of the state.

    Exit code 0: all are healthy, and the code loads; 3: not so.
    """
    from dagma.cli import tables
    from dagma.stack import overview

    stack = base.stack()
    found = overview.look(stack)
    if as_json:
        base.say(json.dumps(asdict(found), indent=2))
    else:
        if found.disk_error:
            base.say(click.style(found.disk_error, fg="red"))
        base.say(*tables.services(found.services))
        base.warn(found.code_error, *found.changed.lines())
        if any(service.healthy for service in found.services):
            base.warn(found.exposed)
        base.warn(*found.alerts)
        if stack.settings.home.exists():
            base.say(str(found.sizes))
    sys.exit(0 if found.healthy else base.UNHEALTHY)


@click.command()
@click.argument("service", required=False, shell_complete=base.complete_service)
@click.option("-f", "--follow", is_flag=True, help="Wait for more lines until Ctrl-C.")
@click.option("-n", "--lines", default=100, show_default=True, help="Lines of each log.")
def logs_command(service: str | None, follow: bool, lines: int) -> None:
    """Show the log of a service, or of all of them."""
    interrupts.catch()
    from dagma.stack import logs

    files = logs.of_services(base.stack().layout, service)

    def show(name: str, line: str) -> None:
        base.say(line if service else f"{name:<10} | {line}")

    if not follow:
        logs.tail(files, lines, show)
        return
    with base.interruptible():
        logs.follow(files, lines, show)


@click.command()
@click.option(
    "-n",
    "--ticks",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Next ticks of each schedule.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def schedules_command(ticks: int, as_json: bool) -> None:
    """List sensors, and schedules with their next ticks."""
    from dagma.cli import tables
    from dagma.stack import automation

    found = automation.automations(base.stack().settings, ticks)
    if as_json:
        base.say(json.dumps({"automations": [asdict(one) for one in found]}, indent=2))
    else:
        base.say(*tables.automations(found))


@click.command()
def doctor_command() -> None:
    """Check what the stack needs, and say what to do.

    Programs, versions, ports, proxies, disk, memory and changes; exit code 1 if one fails.
    """
    from dagma.cli import tables
    from dagma.stack import doctor

    findings = doctor.examine(base.stack())
    rows = [(finding.verdict, finding.text) for finding in findings]
    base.say(*tables.columns(rows, least=(len("FAIL"),)))
    sys.exit(1 if any(finding.verdict == "FAIL" for finding in findings) else 0)
