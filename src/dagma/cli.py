"""The command line: parses, calls, prints. What it does is in `dagma.stack`."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from dagma.errors import DagmaError, NotRunning, StackError
from dagma.stack import settings, topology
from dagma.stack.control import Stack
from dagma.stack.display import Rows, row

#: What a shell reports for a command that Ctrl-C ended.
INTERRUPTED = 130
#: Exit code of `status` when not every service is healthy.
UNHEALTHY = 3


class _Sentences(click.Group):
    """Turns our errors into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except DagmaError as error:
            click.echo(f"dagma: {error}", err=True)
            return ctx.exit(1)


def _version() -> str:
    try:
        return version("dagma")
    except PackageNotFoundError:
        return "of a source tree"


@click.group(cls=_Sentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), "--version", prog_name="dagma")
def main() -> None:
    """Dagster, PostgreSQL, MLflow and Qdrant in one command.

    Settings come from the environment and from .env in the current directory; .env.example lists
    them. State is kept in DAGMA_HOME (./.dagma).
    """
    _own_programs_first()


def _own_programs_first() -> None:
    """Let services be the programs of the environment that this command line is part of."""
    own = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    if own not in path.split(os.pathsep):
        os.environ["PATH"] = own + os.pathsep + path


def _stack() -> Stack:
    return Stack(settings.load(os.environ, Path.cwd()))


def _say(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


@main.command()
@click.argument("group", type=click.Choice(list(topology.GROUPS)), default="full")
@click.option("-d", "--detach", is_flag=True, help="Return when all services are healthy.")
@click.option("--tui", is_flag=True, help="Then show process-compose's own interface.")
def up(group: str, detach: bool, tui: bool) -> None:
    """Start the services of a group: minimal, data, vector, ml or full.

    Without -d it stays, and Ctrl-C stops everything. Starting what already runs only says so.
    """
    if tui and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("--tui needs a terminal.")
    stack = _stack()
    names, note = topology.members(group, stack.settings)
    _catch_signals()
    try:
        mine = _start(stack, names, note)
        if mine:
            how = "`dagma down`" if detach else "Ctrl-C"
            click.echo(f"All healthy. {how} stops the stack; state is in {stack.settings.home}.")
        if tui:
            _interface(stack)
        if mine and not detach:
            _stay(stack)
    except KeyboardInterrupt:
        if stack.child is not None:
            _end(stack)


def _start(stack: Stack, names: list[str], note: str | None) -> bool:
    """Bring the services up; whether this call was the one that started the stack."""
    if note:
        click.echo(note)
    if stack.running():
        _join(stack, names)
        return False
    stack.check(names)
    with stack.alone():
        if stack.running():  # another call was faster
            _join(stack, names)
            return False
        _say(stack.start(names))
        _wait(stack, names)
    _warn_about_code(stack)
    return True


def _warn_about_code(stack: Stack) -> None:
    from dagma.stack import location  # its imports are for `up` only

    if problem := location.problem(stack.settings):
        click.echo(click.style(problem, fg="yellow"))


def _join(stack: Stack, names: list[str]) -> None:
    new = stack.extend(names)
    if new:
        with Rows(new) as rows:
            stack.wait(new, rows.add)
    click.echo("Added to the running stack." if new else "Already up.")
    if not new:
        _say([row(status) for status in stack.status()])


def _wait(stack: Stack, names: list[str]) -> None:
    """Wait for health; a stack that does not get there is taken down again."""
    try:
        with Rows(names) as rows:
            stack.wait(names, rows.add)
    except StackError:
        _end(stack)
        raise
    except KeyboardInterrupt:
        _end(stack)
        sys.exit(INTERRUPTED)


def _stay(stack: Stack) -> None:
    """Wait for Ctrl-C, or for the end of the supervisor."""
    if stack.child is None:
        return
    while stack.child.poll() is None:
        time.sleep(0.2)
    _end(stack)
    if stack.child.returncode != 0:
        raise StackError("process-compose was ended from outside; so the services were stopped.")


def _end(stack: Stack) -> None:
    """Take everything down, whatever signals still come and even when the terminal is gone."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    notes = stack.down()
    with contextlib.suppress(OSError):
        _say([*notes, "Everything is stopped; the state is kept."])


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _catch_signals() -> None:
    """Make Ctrl-C, TERM and HUP the same, and keep an ignored SIGINT from the services."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    for number in _ENDING:
        signal.signal(number, interrupt)


def _interface(stack: Stack) -> None:
    socket = str(stack.layout.control_socket)
    subprocess.run(["process-compose", "--unix-socket", socket, "attach"], check=False)


@main.command()
def down() -> None:
    """Stop all services in order and check that no process is left."""
    stack = _stack()
    if not stack.settings.home.exists():
        click.echo("Nothing is running here.")
        return
    with stack.alone():
        was_running = stack.running()
        _say(stack.down())
    click.echo("Everything is stopped; the state is kept." if was_running else "Nothing runs here.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show the services. Exit code 0: all are healthy; 3: not all are."""
    services = _stack().status()
    if as_json:
        click.echo(json.dumps({"services": [asdict(service) for service in services]}, indent=2))
    else:
        _say([row(service) for service in services])
    sys.exit(0 if all(service.healthy for service in services) else UNHEALTHY)


@main.command()
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Wait for more lines until Ctrl-C.")
@click.option("-n", "--lines", default=100, show_default=True, help="Lines of each log.")
def logs(service: str | None, follow: bool, lines: int) -> None:
    """Show the log of a service, or of all of them."""
    _catch_signals()
    from dagma.stack import logs as reading

    stack = _stack()
    known = [topology.INIT, *topology.SERVICES]
    if service is not None and service not in known:
        raise StackError(f"There is no service {service!r}; choose one of {', '.join(known)}.")
    files = {name: stack.layout.log(name) for name in ([service] if service else known)}

    def show(name: str, line: str) -> None:
        click.echo(line if service else f"{name:<10} | {line}")

    reading.tail(files, lines, show)
    if follow:
        try:
            reading.follow(files, show)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@main.command()
@click.argument("service")
def restart(service: str) -> None:
    """Restart one service and wait until it is healthy."""
    stack = _stack()
    if not stack.running():
        raise NotRunning("No stack is running here; `dagma up` starts one.")
    with Rows([service]) as rows:
        stack.restart(service, rows.add)


@main.command()
def env() -> None:
    """Print the stack's environment as shell exports, for `process-compose up`, `psql`, `dagster`."""
    from dagma.stack import environment, prepare

    stack = _stack()
    names, _ = topology.members("full", stack.settings)
    prepare.prepare(stack.settings)
    values = environment.exports(stack.loaded, names, os.environ)
    for name, value in (values | environment.client(stack.settings)).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@main.command()
def doctor() -> None:
    """Check programs, versions, ports, proxies, disk and memory; exit code 1 if one fails."""
    from dagma.stack import doctor as checks

    findings = checks.examine(_stack())
    for finding in findings:
        click.echo(f"{finding.verdict:<4}  {finding.text}")
    sys.exit(1 if any(finding.verdict == "FAIL" for finding in findings) else 0)


if __name__ == "__main__":
    main()
