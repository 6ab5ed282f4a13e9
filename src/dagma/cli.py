"""The command line: parses, calls, prints. What it does is in `dagma.stack`."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from dagma import interrupts, private
from dagma.errors import BackupError, DagmaError, NotRunning, StackError
from dagma.stack import changes, environment, preflight, problems, settings, source, topology
from dagma.stack.control import Stack
from dagma.stack.display import Rows, row

#: What a shell reports for a command that Ctrl-C ended.
INTERRUPTED = 130
#: Exit code of `status` and `up -d` when not every service is healthy, or the code does not load.
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
    os.umask(private.UMASK)  # the services have it from us
    for name in environment.exported_by_dagma(os.environ):
        del os.environ[name]
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
@click.option("--apply", is_flag=True, help="Bring changed settings and code to what runs.")
def up(group: str, detach: bool, tui: bool, apply: bool) -> None:
    """Start the services of a GROUP.

    Without -d it stays. Ctrl-C waits for runs in progress and stops everything; a second one, TERM
    and HUP stop it now. Starting what already runs only says so, and what has changed since; with
    --apply the services concerned take that, and no run ends.
    """
    if tui and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("--tui needs a terminal.")
    stack = _stack()
    names, note = topology.members(group, stack.settings)
    interrupts.catch()
    try:
        mine = _start(stack, names, note, apply)
        problem = problems.of_code(stack, stack.status())
        _warn(problem and f"{problem}. Correct it, then `dagma reload`.")
        if mine:
            state = "The services are up, without your code" if problem else "All healthy"
            how = "`dagma down`" if detach else "Ctrl-C"
            click.echo(f"{state}. {how} stops the stack; state is in {stack.settings.home}.")
            from dagma.stack import access  # services wait for nothing that this imports

            _say(access.ways_in(names, stack.settings, sys.stdout.isatty()))
        if tui:
            _interface(stack)
        if mine and not detach:
            _stay(stack)
        elif problem:
            sys.exit(UNHEALTHY)
    except KeyboardInterrupt as interrupt:
        if stack.child is not None:
            now = isinstance(interrupt, interrupts.Terminated)
            _end(stack, 0 if now else stack.settings.drain_timeout)


def _start(stack: Stack, names: list[str], note: str | None, apply: bool) -> bool:
    """Bring the services up; whether this call was the one that started the stack."""
    if note:
        click.echo(note)
    _warn(source.untracked(source.checkout()), preflight.corpus(stack.settings))
    if not stack.running():
        stack.check(names)
    with stack.alone(click.echo):
        if stack.running():  # maybe since another call was faster
            _join(stack, names, apply)
            return False
        _say(stack.start(names))
        _wait(stack, names)
    _warn(problems.of_qdrant(stack, names), preflight.exposure(stack.settings))
    return True


def _warn(*problems: str | None) -> None:
    _say([click.style(problem, fg="yellow") for problem in problems if problem])


def _join(stack: Stack, names: list[str], apply: bool) -> None:
    """Add services to the running stack, and bring it what has changed, or say so."""
    found = changes.find(stack)
    if set(names) - set(stack.members()):
        found.require_same_stack()
    new = stack.extend(names)
    if new:
        with Rows(new) as rows:
            stack.wait(new, rows.add, rows.tell)
        _warn(problems.of_qdrant(stack, new))
        found = changes.find(stack)  # assets learn of new services
    click.echo("Added to the running stack." if new else "Already up.")
    if apply:
        with Rows(found.services) as rows:
            done = changes.apply(stack, found, rows.add)
        click.echo(f"Started anew: {', '.join(done)}." if done else "Nothing has changed.")
    else:
        if not new:
            _say([row(status) for status in stack.status()])
        _warn(*found.lines())


def _wait(stack: Stack, names: list[str]) -> None:
    """Wait for health; a stack that does not get there is taken down again."""
    try:
        with Rows(names) as rows:
            stack.wait(names, rows.add, rows.tell)
    except StackError:
        _end(stack, 0)
        raise
    except KeyboardInterrupt:
        _end(stack, 0)
        sys.exit(INTERRUPTED)


def _stay(stack: Stack) -> None:
    """Wait for Ctrl-C, or for the end of the supervisor."""
    if stack.child is None:
        return
    while stack.child.poll() is None:
        time.sleep(0.2)
    _end(stack, 0)
    if stack.child.returncode != 0:
        raise StackError("process-compose was ended from outside; so the services were stopped.")


def _end(stack: Stack, patience: float) -> None:
    """Take everything down: runs in progress have so many seconds, and until the next signal.

    From then on it is done whatever signals still come and even when the terminal is gone.
    """
    from dagma.stack import drain  # costs a start nothing

    def say(line: str) -> None:
        with contextlib.suppress(OSError):
            click.echo(line)

    if patience:
        with contextlib.suppress(KeyboardInterrupt):
            say("Stopping; another Ctrl-C does not wait for runs in progress.")
            drain.Drain(stack, say).wait(patience)
    interrupts.ignore()
    drain.Drain(stack, say).stop("The end of `dagma up`")
    for note in [*stack.down(), "Everything is stopped; the state is kept."]:
        say(note)


def _interface(stack: Stack) -> None:
    socket = str(stack.layout.control_socket)
    subprocess.run(["process-compose", "--unix-socket", socket, "attach"], check=False)


@main.command()
@click.option(
    "--timeout",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="How long to wait for runs in progress; else as DAGMA_DRAIN_TIMEOUT says.",
)
@click.option("--now", is_flag=True, help="Do not wait for them; they are run again after `up`.")
def down(timeout: int | None, now: bool) -> None:
    """Wait for runs in progress, then stop all services.

    They are stopped in order, and no process is left. Meanwhile new runs stay in the queue. Ctrl-C while it waits leaves the stack running.
    """
    from dagma.stack import drain  # its imports are for the end only

    stack = _stack()
    if not stack.settings.home.exists():
        click.echo("Nothing is running here.")
        return
    was_running = stack.running()
    runs = drain.Drain(stack, click.echo)
    patience = stack.settings.drain_timeout if timeout is None else timeout
    interrupts.catch()
    try:
        if patience and not now:
            runs.wait(patience)
    except KeyboardInterrupt:
        runs.resume()
        click.echo("The stack goes on running.")
        sys.exit(INTERRUPTED)
    with stack.alone(click.echo):
        runs.stop("`dagma down`")
        _say(stack.down())
    click.echo("Everything is stopped; the state is kept." if was_running else "Nothing runs here.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show the services and the size of the state.

    Exit code 0: all are healthy, and the code loads; 3: not so.
    """
    from dagma.stack import alerts, disk, sizes

    stack = _stack()
    services = stack.status()
    problem = problems.of_code(stack, services)
    services = [problems.unless_silent(stack, service, services) for service in services]
    database = any(service.name == "postgres" and service.healthy for service in services)
    size = sizes.measure(stack.settings, database)
    no_room = disk.full(stack.layout.postgres)
    changed = changes.find(stack)
    told = alerts.lines(stack.settings) if problems.serves(services) else []
    if as_json:
        found = {"services": [asdict(service) for service in services], "code_error": problem}
        found |= {"disk_error": no_room, "exposed": preflight.exposure(stack.settings)}
        more = {"alerts": told, "changed": asdict(changed), "sizes": asdict(size)}
        click.echo(json.dumps(found | more, indent=2))
    else:
        if no_room:
            click.echo(click.style(no_room, fg="red"))
        _say([row(service) for service in services])
        _warn(problem, *changed.lines())
        if any(service.healthy for service in services):
            _warn(preflight.exposure(stack.settings))
        _warn(*told)
        if stack.settings.home.exists():
            click.echo(str(size))
    healthy = all(service.healthy for service in services) and not problem
    sys.exit(0 if healthy else UNHEALTHY)


def _services(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """What the shell offers for a service's name."""
    return [name for name in topology.SERVICES if name.startswith(typed)]


@main.command()
@click.argument("service", required=False, shell_complete=_services)
@click.option("-f", "--follow", is_flag=True, help="Wait for more lines until Ctrl-C.")
@click.option("-n", "--lines", default=100, show_default=True, help="Lines of each log.")
def logs(service: str | None, follow: bool, lines: int) -> None:
    """Show the log of a service, or of all of them."""
    interrupts.catch()
    from dagma.stack import logs as reading

    stack = _stack()
    known = [topology.INIT, *topology.SERVICES]
    if service is not None and service not in known:
        raise StackError(f"There is no service {service!r}; choose one of {', '.join(known)}.")
    files = {name: stack.layout.log(name) for name in ([service] if service else known)}

    def show(name: str, line: str) -> None:
        click.echo(line if service else f"{name:<10} | {line}")

    if not follow:
        reading.tail(files, lines, show)
        return
    try:
        reading.follow(files, lines, show)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@main.command()
@click.argument("service", shell_complete=_services)
def restart(service: str) -> None:
    """Restart one service with today's settings and code."""
    stack = _stack()
    if not stack.running():
        raise NotRunning("No stack is running here; `dagma up` starts one.")
    changes.find(stack).require_same_stack()
    with Rows([service]) as rows:
        stack.restart(service, rows.add)


@main.command()
@click.option(
    "-n",
    "--ticks",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Next ticks of each schedule.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def schedules(ticks: int, as_json: bool) -> None:
    """List sensors, and schedules with their next ticks."""
    from dagma.stack import automation

    found = automation.automations(_stack().settings, ticks)
    if as_json:
        click.echo(json.dumps({"automations": [asdict(one) for one in found]}, indent=2))
    else:
        _say(automation.lines(found))


@main.command()
@click.option("--watch", is_flag=True, help="Reload after each change of the code until Ctrl-C.")
def reload(watch: bool) -> None:
    """Load the code that this command has, and settings.

    Runs in progress finish on the code that they began with. Code that does not load is refused, and what was loaded before goes on serving.
    """
    from dagma.stack import reload as reloading  # its imports are for `reload` only

    stack = _stack()
    if not watch:
        _reload(stack)
        return
    interrupts.catch()
    folder, recursive = reloading.code_folder(stack)

    def changed() -> None:
        try:
            _reload(stack)
        except NotRunning:
            raise
        except DagmaError as error:
            click.echo(f"dagma: {error}", err=True)

    def began() -> None:
        click.echo(f"Watching {folder}; Ctrl-C ends it.")

    try:
        reloading.watch(stack, folder, recursive, began, changed)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _reload(stack: Stack) -> None:
    """Reload, and say what else than the code has changed for it."""
    from dagma.stack import reload as reloading

    _warn(source.untracked(source.checkout()))
    with stack.alone(click.echo):
        found = changes.find(stack)
        found.require_same_stack()
        reloading.reload(stack)
    taken = [name for name, services in found.settings.items() if "user_code" in services]
    click.echo(f"Reloaded, with {', '.join(taken)} as set now." if taken else "Reloaded.")
    _warn(*changes.find(stack).lines())


@main.command()
def env() -> None:
    """Print the stack's environment as shell exports.

    For `psql`, `dagster`, and `process-compose up`.
    """
    from dagma.stack import prepare

    stack = _stack()
    names, _ = topology.members("full", stack.settings)
    prepare.prepare(stack.settings)
    if not stack.running():
        stack.write_started(names)
    values = environment.exports(stack.loaded, names, os.environ)
    values |= environment.client(stack.settings)
    values |= environment.note(values, os.environ)
    for name, value in values.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@main.command("open")
@click.argument(
    "service", type=click.Choice(["webserver", "mlflow", "qdrant"]), default="webserver"
)
def open_(service: str) -> None:
    """Open a web interface in your browser.

    Where it asks for a token, with that.

    A terminal also shows the link.
    """
    from dagma.stack import access

    stack = _stack()
    running = {one.name for one in stack.status() if one.healthy}
    if service not in running:
        raise NotRunning(f"{service} is not healthy; see `dagma status`.")
    if sys.stdout.isatty():
        click.echo(access.address(service, stack.settings))
    if not access.browse(service, stack.settings) and not sys.stdout.isatty():
        raise StackError("There is no browser here; in a terminal, `dagma open` shows the link.")


@main.command()
def doctor() -> None:
    """Check what the stack needs, and say what to do.

    Programs, versions, ports, proxies, disk, memory and changes; exit code 1 if one fails.
    """
    from dagma.stack import doctor as checks

    findings = checks.examine(_stack())
    for finding in findings:
        click.echo(f"{finding.verdict:<4}  {finding.text}")
    sys.exit(1 if any(finding.verdict == "FAIL" for finding in findings) else 0)


@main.command()
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
def backup(directory: Path | None) -> None:
    """Write a backup of the running stack.

    It goes to DIRECTORY, by default DAGMA_BACKUPS.
    """
    from dagma.stack import backup as backups

    stack = _stack()
    interrupts.catch()
    try:
        target = directory or stack.layout.backups(stack.settings)
        click.echo(f"Backup: {backups.write(stack, target, click.echo)}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@main.command()
@click.argument("archive", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask before a state is replaced.")
def restore(archive: Path, yes: bool) -> None:
    """Restore a backup, while the stack is stopped.

    A present state is kept beside.
    """
    from dagma.stack import archive as archives
    from dagma.stack import restore as restoring

    stack = _stack()
    interrupts.catch()
    try:
        with archives.opened(archive) as checked:
            restoring.check(stack, checked)
            click.echo(f"{len(checked.manifest.files)} files are whole.")
            _agree(restoring.occupied(stack), yes)
            for former in restoring.run(stack, checked, click.echo):
                click.echo(f"The former state is kept in {former}; delete it when you like.")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    click.echo(f"Restored the backup of {checked.manifest.created}; `dagma up` starts it.")


@main.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def prune(dry_run: bool) -> None:
    """Remove old runs, events and logs.

    What is old, the settings DAGMA_KEEP_* say; the stack has to run. The state of assets, partitions and asset checks stays as it is.
    """
    from dagma.stack import prune as pruning  # imports Dagster

    stack = _stack()
    interrupts.catch()
    try:
        pruning.prune(stack, click.echo, dry_run)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _agree(replaced: list[Path], yes: bool) -> None:
    """Ask whether a present state may be replaced, where there is one and somebody to ask."""
    if not replaced or yes:
        return
    names = ", ".join(str(path) for path in replaced)
    if not sys.stdin.isatty():
        raise BackupError(f"{names} holds a state: add --yes to replace it; it is kept beside.")
    click.confirm(f"{names} holds a state. Replace it? It is kept beside.", abort=True)


if __name__ == "__main__":
    main()
