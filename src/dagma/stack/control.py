"""Bringing a stack up, watching it, and taking it down."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dagma import lock
from dagma.errors import NotRunning, PreflightError, StackError
from dagma.stack import (
    environment,
    logs,
    preflight,
    prepare,
    services,
    started,
    supervisor,
    topology,
)
from dagma.stack.layout import Layout
from dagma.stack.logs import last_lines
from dagma.stack.settings import Loaded
from dagma.stack.supervisor import Process, Supervisor
from dagma.stack.waiting import wait_until

#: Seconds between two looks at the services.
PERIOD = 0.1
#: Seconds for the new process of a restarted service.
BEGINNING = 10.0
#: A service that was started again this often without ever being healthy has failed.
HOPELESS = 4
#: States that a service does not leave by itself.
_FINAL = frozenset({"completed", "skipped", "error"})
#: Lines of a log that go with a failure.
TAIL = 25


@dataclass(frozen=True)
class Status:
    """One service as the user sees it; the fields are those of `dagma status --json`.

    Attributes:
        name: Service.
        state: running, starting, restarting, stopped, failed, ...
        healthy: It runs and answers.
        pid: Process id, None when it does not run.
        restarts: How often it was started again since `up`.
        url: Where it is found; of maintenance, when it is due.
        reason: Why it, or its last work, failed, and what to do; None when it did not.
    """

    name: str
    state: str
    healthy: bool
    pid: int | None
    restarts: int
    url: str
    reason: str | None = None


#: Called with each service that has become healthy, and the seconds that took.
Report = Callable[[Status, float], None]
#: Called with each line about a database that is migrated, or about a wait.
Tell = Callable[[str], None]


class Stack:
    """The stack of one state directory."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.settings = loaded.settings
        self.layout = Layout.of(loaded.settings)
        self.supervisor = Supervisor(self.layout.control_socket)
        self.child: subprocess.Popen[bytes] | None = None
        self._init = logs.Growth(self.layout.log(topology.INIT))

    def running(self) -> bool:
        """Whether the supervisor of this state directory answers."""
        return self.supervisor.alive()

    def require_postgres(self) -> None:
        """Nothing, when the databases can be used.

        Raises:
            NotRunning: They cannot.
        """
        running = self.supervisor.processes()
        if "postgres" not in running or not running["postgres"].healthy:
            raise NotRunning("PostgreSQL is not healthy; see `dagma status`.")

    def require_healthy(self, service: str) -> None:
        """Nothing, when a service runs and answers.

        Raises:
            NotRunning: It does not.
        """
        if service not in {one.name for one in self.status() if one.healthy}:
            raise NotRunning(f"{service} is not healthy; see `dagma status`.")

    def status(self) -> list[Status]:
        """The services that were asked for; all that could be, when nothing runs."""
        try:
            found = self.supervisor.processes()
        except NotRunning:
            names, _ = topology.members("full", self.settings)
            return [self._status(name, None) for name in names]
        return [
            self._status(name, found[name])
            for name in topology.SERVICES
            if name in found and found[name].state != "disabled"
        ]

    def _status(self, name: str, process: Process | None) -> Status:
        url = topology.url(name, self.settings)
        if process is None:
            return Status(name, "stopped", False, None, 0, url)
        state = process.state
        reason = services.PROCESSES[name][1].trouble(self.settings)
        if state == "running" and not process.healthy:
            state = "starting"
        elif state in _FINAL:  # it was stopped on purpose, or was restarted too often
            state = "failed" if state == "error" or process.exit_code != 0 else "stopped"
        if state == "failed":
            reason = (
                f"ended with exit code {process.exit_code} after {process.restarts} restarts; "
                f"{self.layout.log(name)} says more, `dagma restart {name}` tries again"
            )
        return Status(name, state, process.healthy, process.pid, process.restarts, url, reason)

    def check(self, names: list[str]) -> None:
        """All that must hold before `start`; writes nothing.

        Raises:
            PreflightError: Something does not hold.
        """
        preflight.state_directory(self.settings)
        preflight.programs(names)
        if not supervisor.members(self.settings.home):
            for name in names:
                preflight.ports(self.settings, name)

    def start(self, names: list[str]) -> list[str]:
        """Start the services, and end what an earlier, killed supervisor left behind.

        Returns:
            Lines worth telling the user.

        Raises:
            PreflightError: A port is taken, or the state directory cannot be written.
        """
        notes = []
        if orphans := supervisor.members(self.settings.home):
            supervisor.end(orphans, patience=20.0)
            notes.append(f"Ended {len(orphans)} processes that a killed stack had left.")
            for name in names:
                preflight.ports(self.settings, name)
        notes += prepare.prepare(self.settings)
        self.write_started(names)
        self.child = self._launch(names)
        return notes

    def write_started(self, names: list[str]) -> None:
        """Note with what all services are started, as nothing of the stack runs."""
        values = environment.of_start(self.loaded, names, os.environ, {})
        started.begin(self.layout.home, [topology.INIT, *topology.SERVICES], values)

    def renewed(self, service: str, more: Iterable[str] = ()) -> dict[str, str]:
        """Today's settings and code for a service of the running stack, to which some more come."""
        former = started.read(self.layout.home, service)
        names = [*self.members(), *more]
        return environment.of_start(self.loaded, names, os.environ, former)

    def members(self) -> list[str]:
        """The services of the running stack.

        Raises:
            NotRunning: There is none.
        """
        found = self.supervisor.processes()
        return [n for n in topology.SERVICES if n in found and found[n].state != "disabled"]

    def _launch(self, names: list[str]) -> subprocess.Popen[bytes]:
        command = [
            *("process-compose", "up", "--tui=false", "--disable-dotenv"),
            *("--unix-socket", str(self.layout.control_socket)),
            *("--config", str(topology.path())),
            *("--log-file", str(self.layout.log("process-compose"))),
            *names,
        ]
        self.layout.control_socket.unlink(missing_ok=True)
        for left in self.layout.code_sockets.iterdir():
            left.unlink()
        with (self.layout.logs / "process-compose.err").open("wb") as errors:
            return subprocess.Popen(
                command,
                env=environment.of_services(self.loaded, names, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def extend(self, names: list[str]) -> list[str]:
        """Start those services in a running stack that do not run; those that were started.

        They are of a larger group, or were stopped: by hand, or by a `dagma down` that was killed
        while it waited for runs.
        """
        found = self.supervisor.processes()
        new = [name for name in names if found[name].state in {"disabled", *_FINAL}]
        for name in new:
            preflight.ports(self.settings, name)
        if new:
            self._prepare_databases(new)
        for name in new:
            started.write(self.layout.home, name, self.renewed(name, new))
            self.supervisor.start(name)
        return new

    def _prepare_databases(self, names: list[str]) -> None:
        with self.layout.log(topology.INIT).open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "dagma.stack.init"],
                env=environment.of_services(self.loaded, names, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
        if done.returncode != 0:
            raise StackError(self._why_init_failed(done.returncode))

    def wait(self, names: list[str], report: Report, tell: Tell) -> None:
        """Return when all are healthy.

        Args:
            names: Services to wait for.
            report: Told of each as it becomes healthy.
            tell: Told what `init` does to databases of other versions.

        Raises:
            StackError: One failed, or DAGMA_START_TIMEOUT passed; with the end of its log. The time
                that databases take to be dumped and migrated does not count.
        """
        begun = counted = time.monotonic()
        waiting = list(names)
        told = 0
        earlier: dict[str, int] = {}  # restarts that were before this wait
        while waiting:
            found = self._look()
            for name, process in found.items():
                earlier[name] = min(process.restarts, earlier.get(name, process.restarts))
            upgrades = self._upgrades()
            for line in upgrades[told:]:
                tell(line)
            told = len(upgrades)
            if upgrades and _at_work(found):
                counted = time.monotonic()
            passed = time.monotonic() - begun
            for name in [name for name in waiting if name in found and found[name].healthy]:
                waiting.remove(name)
                report(self._status(name, found[name]), passed)
            if waiting:
                self._give_up_on_failure(found, waiting, earlier, time.monotonic() - counted)
                time.sleep(PERIOD)

    def _upgrades(self) -> list[str]:
        """What `init` has said in this start about databases of other versions."""
        return [line for line in self._init.lines() if line.startswith(topology.UPGRADE)]

    def _look(self) -> dict[str, Process]:
        """The processes; none while process-compose is still starting."""
        try:
            return self.supervisor.processes()
        except NotRunning:
            if self.child is not None and self.child.poll() is None:
                return {}
            log = self.layout.logs / "process-compose.err"
            raise StackError(_with_log("process-compose ended", log)) from None

    def _give_up_on_failure(
        self,
        found: dict[str, Process],
        waiting: list[str],
        earlier: dict[str, int],
        passed: float,
    ) -> None:
        if process := _failed(found, waiting, earlier):
            if process.name == topology.INIT:
                raise StackError(self._why_init_failed(process.exit_code))
            restarts = process.restarts - earlier[process.name]
            reason = f"{process.name} {_how_it_failed(process, restarts)}"
            raise StackError(_with_log(reason, self.layout.log(process.name)))
        if passed > self.settings.start_timeout:
            name = _blamed(found, waiting)
            limit = self.settings.start_timeout
            reason = f"{name} is not healthy after {limit} s (DAGMA_START_TIMEOUT)"
            raise StackError(_with_log(reason, self.layout.log(name)))

    def _why_init_failed(self, exit_code: int) -> str:
        """Its own sentence, with what is below it; the end of its log where it had none."""
        lines = self._init.lines()
        for number in reversed(range(len(lines))):
            if lines[number].startswith("dagma: "):
                return "\n".join(lines[number:]).removeprefix("dagma: ")
        reason = f"{topology.INIT} ended with exit code {exit_code}"
        return _with_log(reason, self.layout.log(topology.INIT))

    def restart(self, name: str, report: Report) -> None:
        """Restart one service with today's settings and code, and wait until it is healthy.

        Raises:
            StackError: No such service runs, or it does not come back.
        """
        found = self.supervisor.processes()
        if name not in found or found[name].state == "disabled":
            known = ", ".join(n for n, p in found.items() if p.state != "disabled")
            raise StackError(f"{name!r} is not part of the running stack, which has {known}.")
        started.write(self.layout.home, name, self.renewed(name))
        self.supervisor.restart(name)
        if name != topology.INIT:
            self._wait_for_another(name, found[name].pid)
            self.wait([name], report, tell=lambda _: None)

    def _wait_for_another(self, name: str, before: int | None) -> None:
        """Wait until a restarted service has a new process; process-compose may answer earlier.

        Until then it looks like one that has ended for good.
        """
        wait_until(lambda: self._look()[name].pid not in (None, before), BEGINNING, PERIOD)

    def down(self) -> list[str]:
        """Stop everything in order, then make sure that nothing is left.

        Returns:
            Lines worth telling the user: what had to be ended by force.

        Raises:
            StackError: A process survived even SIGKILL.
        """
        with contextlib.suppress(NotRunning):
            self.supervisor.stop()
        if self.child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(timeout=10.0)
        left = supervisor.gone(self.settings.home, patience=3.0)
        notes = [f"Ended {len(left)} processes that outlived their service."] if left else []
        survivors = supervisor.end(left, patience=10.0) if left else []
        if survivors:
            pids = ", ".join(str(process.pid) for process in survivors)
            raise StackError(f"These processes cannot be ended: {pids}.")
        self.layout.control_socket.unlink(missing_ok=True)
        return notes

    @contextlib.contextmanager
    def alone(self, tell: Tell) -> Iterator[None]:
        """Keep other `dagma up` and `down` of this state directory out; one that is in is waited for.

        Args:
            tell: Told of the wait.
        """
        try:
            prepare.open_run(self.layout)
            held = (self.layout.run / "lock").open("w", encoding="ascii")
        except OSError as error:
            raise PreflightError(f"DAGMA_HOME cannot be written: {error}.") from error
        others = f"Waiting for another `dagma up`, `down` or `restore` of {self.layout.home}."
        with held:
            lock.wait_for(held, lambda: tell(others))
            yield


def _at_work(found: dict[str, Process]) -> bool:
    """Whether `init` has not ended."""
    return topology.INIT in found and found[topology.INIT].state not in _FINAL


def _failed(
    found: dict[str, Process], waiting: list[str], earlier: dict[str, int]
) -> Process | None:
    """The process whose end explains why the others cannot become healthy."""
    init = found.get(topology.INIT)
    if init and init.state in _FINAL and init.exit_code != 0:
        return init
    suspects = [found[name] for name in waiting if name in found]
    for process in suspects:
        if process.state in _FINAL or process.restarts - earlier[process.name] >= HOPELESS:
            return process
    return None


def _how_it_failed(process: Process, restarts: int) -> str:
    if process.state in _FINAL:
        return f"ended with exit code {process.exit_code}"
    return f"was started {restarts + 1} times and ended each time"


def _blamed(found: dict[str, Process], waiting: list[str]) -> str:
    """Whose log to show after a timeout: what others wait for comes first."""
    init = found.get(topology.INIT)
    if init and init.state != "completed":
        return topology.INIT if init.state == "running" else waiting[0]
    return waiting[0]


def _with_log(reason: str, log: Path) -> str:
    lines = [line for line in last_lines(log, TAIL) if line.strip()]
    shown = "".join(f"\n  | {line}" for line in lines) if lines else "\n  (its log is empty)"
    return f"{reason}; the end of {log}:{shown}"
