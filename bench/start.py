"""Measure starting, idling and stopping the stack beside the same services with their defaults.

`./nixw develop -c python bench/start.py [ROUNDS]`; README.md says what the figures mean.

Both sides run the programs on PATH, take turns on free ports and find an empty state in a temporary
directory. Exit code 1 means that something did not start; a missed target is only said.
"""

import contextlib
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import grpc
import psutil
import psycopg2
from grpc_health.v1 import health_pb2, health_pb2_grpc

CHECKOUT = Path(__file__).resolve().parents[1]
#: In the order in which the peer starts them; each needs those before it, except MLflow.
SERVICES = ("postgres", "user_code", "webserver", "daemon", "mlflow")
#: Daemons that Dagster runs with its default settings; each writes a heartbeat.
DAEMONS = 6
#: Seconds between two looks at a service.
PERIOD = 0.02
#: Seconds that a service may take to answer, or to end.
PATIENCE = 240.0
#: Seconds after health at which the memory is read.
IDLE = 30.0
#: Calls of `status` in each round.
STATUS_CALLS = 3

#: What `nix develop` exports for the stack of the checkout; none of it may reach either side.
FOREIGN = ("DAGMA_", "POSTGRES_", "DAGSTER_", "MLFLOW_", "QDRANT_", "PG", "PC_", "USER_CODE_")
#: Accounts for the peer's PostgreSQL when root runs this, in order.
ACCOUNTS = ("postgres", "nobody")

FIRST = "first start"
WARM = "warm start"
ALONE = "alone"
#: Beside the services: until the last of them is healthy.
ALL = "all"
CPU = "warm start, cpu seconds"
MEMORY = "idle memory, MB"
STOP = "stop"
STATUS = "./nixw run .#dagma -- status"
#: Figures, and how much of the peer's ours may be.
RATIOS = ((f"{WARM}, {ALL}", 0.6), (MEMORY, 0.5))
#: Seconds that STATUS may take.
STATUS_TARGET = 1.5

#: What was measured of one side: the values of each figure.
Figures = defaultdict[str, list[float]]


class DidNotStart(Exception):
    """Something did not start, or did not end."""


@dataclass(frozen=True)
class Target:
    """Where the services of one side are.

    Attributes:
        ports: Of each service that has one.
        database: How libpq reaches Dagster's database.
    """

    ports: dict[str, int]
    database: str

    def answers(self, service: str, since: float) -> bool:
        """Whether a service is healthy; the same question for both sides.

        Args:
            service: One of SERVICES.
            since: Unix time of its start: older heartbeats do not count.
        """
        if service == "postgres":
            return self.count("SELECT 1") == 1
        if service == "daemon":
            beats = "SELECT count(*) FROM daemon_heartbeats WHERE (body::json->>'timestamp')::float"
            return self.count(f"{beats} >= {since}") >= DAEMONS
        if service == "user_code":
            return serves(self.ports[service])
        path = {"webserver": "/server_info", "mlflow": "/health"}[service]
        return http_status(self.ports[service], path) == http.HTTPStatus.OK

    def count(self, query: str) -> int:
        """The number that a query gives; -1 when the database, or the table, is not there."""
        try:
            link = psycopg2.connect(self.database, connect_timeout=2)
        except psycopg2.Error:
            return -1
        try:
            with link.cursor() as cursor:
                cursor.execute(query)
                return int((cursor.fetchone() or (-1,))[0])
        except psycopg2.Error:
            return -1
        finally:
            link.close()


def http_status(port: int, path: str) -> int | None:
    """The status of a GET on this machine; None without an answer."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        link.request("GET", path)
        return link.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        link.close()


def serves(port: int) -> bool:
    """Whether Dagster's gRPC server says that it serves."""
    try:  # gRPC itself would wait a second after a refused connection
        socket.create_connection(("127.0.0.1", port), timeout=2.0).close()
    except OSError:
        return False
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service="DagsterApi")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=2.0)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def wait_for(question: Callable[[], bool], what: str, process: psutil.Popen | None = None) -> None:
    """Ask until the answer is yes.

    Raises:
        DidNotStart: PATIENCE seconds passed, or the process that should answer has ended.
    """
    deadline = time.monotonic() + PATIENCE
    while not question():
        if process is not None and process.poll() is not None:
            raise DidNotStart(f"{what} ended with exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise DidNotStart(f"{what}: nothing after {PATIENCE:.0f} s")
        time.sleep(PERIOD)


def memory(trees: Sequence[psutil.Process]) -> float:
    """Proportional memory of processes and all below them, in MB: shared pages count once."""
    total = 0
    for process in whole(trees):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 1e6


def cpu(trees: Sequence[psutil.Process]) -> float:
    """Processor seconds that processes and all below them have used, ended children included."""
    total = 0.0
    for process in whole(trees):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def whole(trees: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Processes and all below them, the roots last."""
    found = []
    for root in trees:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [*root.children(recursive=True), root]
    return found


class Ours:
    """Group `data` of this checkout, by its command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        password_file = home / "state/secrets/pgpass"
        self.target = Target(
            ports,
            f"host=127.0.0.1 port={ports['postgres']} user=dagster dbname=dagster"
            f" passfile={password_file}",
        )
        self.environment = clean_environment(home) | {
            "DAGMA_HOME": str(home / "state"),
            "POSTGRES_PORT": str(ports["postgres"]),
            "USER_CODE_PORT": str(ports["user_code"]),
            "DAGSTER_WEBSERVER_PORT": str(ports["webserver"]),
            "MLFLOW_PORT": str(ports["mlflow"]),
        }
        self.supervisor: list[psutil.Process] = []

    def run(self, *command: str) -> str:
        """What a command prints.

        Raises:
            DidNotStart: Its exit code is not 0.
        """
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise DidNotStart(f"{' '.join(command)}: exit code {done.returncode}\n{said}")
        return done.stdout

    def start(self) -> dict[str, float]:
        """Seconds after which each service was healthy, as `up` prints them, and all of them."""
        begun, since = time.monotonic(), time.time()
        printed = self.run("dagma", "up", "-d", "data")
        self.wait_for(SERVICES, since)
        took = {ALL: time.monotonic() - begun}
        self.supervisor = [self.find_supervisor()]
        rows = re.findall(r"^(\w+) +healthy +([\d.]+) s", printed, re.MULTILINE)
        return took | {name: float(seconds) for name, seconds in rows}

    def wait_for(self, services: tuple[str, ...], since: float) -> None:
        """Return when services answer; `up` may believe it earlier than we do."""
        for service in services:
            wait_for(partial(self.target.answers, service, since), f"our {service}")

    def find_supervisor(self) -> psutil.Process:
        """The process-compose of our stack: what the services are children of."""
        services = json.loads(self.run("dagma", "status", "--json"))["services"]
        parent = psutil.Process(services[0]["pid"]).parent()
        if parent is None or parent.pid == 1:
            raise DidNotStart("our services have no supervisor")
        return parent

    def roots(self) -> list[psutil.Process]:
        """Process-compose, which everything else is below."""
        return self.supervisor

    def stop(self) -> float:
        """Seconds that `dagma down` takes."""
        left = whole(self.supervisor)
        begun = time.monotonic()
        try:
            self.run("dagma", "down")
            return time.monotonic() - begun
        finally:
            kill(left)

    def alone(self) -> dict[str, float]:
        """Seconds that each service takes while no other one starts, those it needs running."""
        *others, last = SERVICES  # without any service process-compose would end
        for service in reversed(others):
            self.control("stop", service)
        took = {service: self.start_one(service) for service in others}
        self.control("stop", last)
        return took | {last: self.start_one(last)}

    def start_one(self, service: str) -> float:
        """Seconds from the order to start a stopped service until it answers."""
        begun, since = time.monotonic(), time.time()
        self.control("start", service)
        self.wait_for((service,), since)
        return time.monotonic() - begun

    def control(self, verb: str, service: str) -> None:
        """Have process-compose start or stop one service."""
        where = str(self.home / "state/run/process-compose.sock")
        log = str(self.home / "control.log")
        self.run("process-compose", "-U", "-u", where, "-L", log, "process", verb, service)

    def status(self) -> float:
        """Seconds that a user waits for `./nixw run .#dagma -- status`."""
        begun = time.monotonic()
        self.run(str(CHECKOUT / "nixw"), "run", ".#dagma", "--", "status")
        return time.monotonic() - begun


class Peer:
    """The services with their defaults, each started when the one before it answers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.cluster = home / "cluster"
        ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.server = f"host=127.0.0.1 port={ports['postgres']} user=postgres"
        self.target = Target(ports, f"{self.server} dbname=postgres")
        self.environment = clean_environment(home) | {
            "DAGSTER_HOME": str(home),
            "MLFLOW_DISABLE_TELEMETRY": "true",  # a measurement is no usage
        }
        self.account = unprivileged()
        self.started: dict[str, psutil.Popen] = {}
        self.took: dict[str, float] = {}

    def url(self, database: str) -> str:
        """Of a database, for SQLAlchemy; it would take another driver if none were named."""
        port = self.target.ports["postgres"]
        return f"postgresql+psycopg2://postgres@127.0.0.1:{port}/{database}"

    def command(self, service: str) -> list[str]:
        """What a reader of the product's documentation would type."""
        port = str(self.target.ports[service])
        workspace = str(self.home / "workspace.yaml")
        return {
            "postgres": ["postgres", "-D", str(self.cluster), "-p", port, "-k", ""],
            "user_code": ["dagster", "api", "grpc", "-m", "dagma.definitions", "-p", port],
            "webserver": ["dagster-webserver", "-w", workspace, "-p", port],
            "daemon": ["dagster-daemon", "run", "-w", workspace],
            "mlflow": ["mlflow", "server", "--backend-store-uri", self.url("mlflow"), "-p", port],
        }[service]

    def prepare(self) -> None:
        """Write Dagster's configuration and create an empty cluster."""
        storage = f"storage: {{postgres: {{postgres_url: '{self.url('dagster')}'}}}}\n"
        instance = storage + "telemetry: {enabled: false}\n"
        (self.home / "dagster.yaml").write_text(instance, encoding="utf-8")
        server = f"{{host: 127.0.0.1, port: {self.target.ports['user_code']}}}"
        workspace = f"load_from: [{{grpc_server: {server}}}]\n"
        (self.home / "workspace.yaml").write_text(workspace, encoding="utf-8")
        self.cluster.mkdir(mode=0o700)
        if self.account:
            os.chown(self.cluster, self.account["user"], self.account["group"])
        initdb = ["initdb", "-D", str(self.cluster), "-A", "trust", "-U", "postgres"]
        if self.spawn("initdb", initdb).wait() != 0:
            raise DidNotStart(f"the peer's initdb failed\n{self.log('initdb')}")

    def start(self) -> dict[str, float]:
        """Seconds from the start of everything after which each service was healthy, and all."""
        begun = time.monotonic()
        empty = not self.cluster.exists()
        if empty:
            self.prepare()
        took = {}
        for service in SERVICES:
            self.start_one(service)
            took[service] = time.monotonic() - begun
            if empty and service == "postgres":
                self.create_databases()
        return took | {ALL: time.monotonic() - begun}

    def start_one(self, service: str) -> None:
        """Start a service and wait until it answers."""
        begun, since = time.monotonic(), time.time()
        process = self.started[service] = self.spawn(service, self.command(service))
        try:
            answers = partial(self.target.answers, service, since)
            wait_for(answers, f"the peer's {service}", process)
        except DidNotStart as error:
            raise DidNotStart(f"{error}\n{self.log(service)}") from error
        self.took[service] = time.monotonic() - begun

    def alone(self) -> dict[str, float]:
        """Seconds that each service took in the last start: it was alone there."""
        return self.took

    def spawn(self, service: str, command: list[str]) -> psutil.Popen:
        """Start a program in a session of its own, PostgreSQL's without root's rights."""
        account = self.account if service in ("postgres", "initdb") else {}
        with (self.home / f"{service}.log").open("ab") as log:
            return psutil.Popen(
                command,
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **account,
            )

    def log(self, service: str) -> str:
        """The end of a service's log."""
        text = (self.home / f"{service}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-25:])

    def create_databases(self) -> None:
        """Dagster and MLflow need one each: both have a table `runs`."""
        link = psycopg2.connect(f"{self.server} dbname=postgres")
        link.autocommit = True
        with link.cursor() as cursor:
            for name in ("dagster", "mlflow"):
                cursor.execute(f"CREATE DATABASE {name}")
        link.close()
        self.target = Target(self.target.ports, f"{self.server} dbname=dagster")

    def roots(self) -> list[psutil.Process]:
        """The services."""
        return list(self.started.values())

    def stop(self) -> float:
        """Seconds until all has ended: servers first, then PostgreSQL, as its clients are gone."""
        begun = time.monotonic()
        servers = [process for name, process in self.started.items() if name != "postgres"]
        end(servers, signal.SIGTERM)
        end([self.started[name] for name in self.started if name == "postgres"], signal.SIGINT)
        self.started = {}
        return time.monotonic() - begun


def end(roots: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Signal processes and wait for them and all below them; kill what does not listen."""
    everything = whole(roots)
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            root.send_signal(number)
    _, left = psutil.wait_procs(everything, timeout=PATIENCE / 4)
    kill(left)


def kill(processes: Sequence[psutil.Process]) -> None:
    """End what is left of processes that we started; psutil never hits a reused id."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10.0)


def clean_environment(home: Path) -> dict[str, str]:
    """Ours without the settings of the checkout's stack, and with nothing to write outside `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    direct = dict.fromkeys(("NO_PROXY", "no_proxy", "no_grpc_proxy"), "127.0.0.1,localhost")
    temporary = dict.fromkeys(("TMPDIR", "TMP", "TEMP", "TEMPDIR"), str(home))
    return kept | direct | temporary | {"LC_ALL": "C.UTF-8"}


def unprivileged() -> dict[str, Any]:
    """How to start a program that refuses to run as root; nothing to do for an ordinary user."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ACCOUNTS:
        if name in known:
            entry = known[name]
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise DidNotStart(f"PostgreSQL does not run as root, and there is no {' or '.join(ACCOUNTS)}")


def free_ports(count: int) -> list[int]:
    """Ports that nothing uses; held together, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory that PostgreSQL's account can reach: that of `nix develop` is private."""
    above = Path(tempfile.gettempdir()).resolve()
    while os.geteuid() == 0 and not all(p.stat().st_mode & 0o001 for p in (above, *above.parents)):
        above = above.parent
    made = Path(tempfile.mkdtemp(prefix="dagma-", dir=above))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def read_programs_once() -> None:
    """One start that does not count: whoever reads the programs from the disk first would pay."""
    with temporary_directory() as home:
        side = Ours(home)
        try:
            side.start()
        finally:
            side.stop()


def measure(side: Ours | Peer, figures: Figures) -> None:
    """One round of one side: first start, stop, warm start, memory, services alone, stop."""
    try:
        note(figures, FIRST, side.start())
        figures[STOP].append(side.stop())
        note(figures, WARM, side.start())
        figures[CPU].append(cpu(side.roots()))
        time.sleep(IDLE)
        figures[MEMORY].append(memory(side.roots()))
        if isinstance(side, Ours):
            calls = [side.status() for _ in range(STATUS_CALLS + 1)]
            figures[STATUS] += calls[1:]  # the first may have something to put in place
        note(figures, ALONE, side.alone())
        figures[STOP].append(side.stop())
    finally:
        side.stop()


def note(figures: Figures, what: str, seconds: dict[str, float]) -> None:
    """Keep the seconds of each service."""
    for service, value in seconds.items():
        figures[f"{what}, {service}"].append(value)


def table(ours: Figures, peer: Figures) -> Iterator[str]:
    """One line per figure."""
    yield f"{'seconds, or what is named':<34}{'ours':>22}{'peer':>22}{'ours/peer':>11}"
    for figure in names():
        ratio = f"{ratio_of(figure, ours, peer):.2f}" if peer[figure] else ""
        yield f"{figure:<34}{spread(ours[figure]):>22}{spread(peer[figure]):>22}{ratio:>11}"


def names() -> list[str]:
    """All figures, in the order of the table."""
    starts = [f"{kind}, {one}" for kind in (FIRST, WARM) for one in (*SERVICES, ALL)]
    return [*starts, *(f"{ALONE}, {service}" for service in SERVICES), CPU, MEMORY, STOP, STATUS]


def spread(values: list[float]) -> str:
    """Median (smallest-largest)."""
    if not values:
        return "-"
    digits = 0 if max(values) >= 100 else 2
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def ratio_of(figure: str, ours: Figures, peer: Figures) -> float:
    """Our median by the peer's."""
    return statistics.median(ours[figure]) / statistics.median(peer[figure])


def targets(ours: Figures, peer: Figures) -> Iterator[str]:
    """One line per target, with what was reached."""
    for figure, most in RATIOS:
        reached = ratio_of(figure, ours, peer)
        yield f"{figure}: {reached:.2f} of the peer's, target {most} or less: {met(reached, most)}"
    reached = statistics.median(ours[STATUS])
    yield f"{STATUS}: {reached:.2f} s, target {STATUS_TARGET} s or less: {met(reached, STATUS_TARGET)}"


def met(reached: float, most: float) -> str:
    """The verdict as a word."""
    return "met" if reached <= most else "missed"


def default_signals() -> None:
    """Let signals end us by way of `finally`, and reach what we start with their defaults.

    A shell's `&` makes its children ignore SIGINT, and Dagster's code server would then ignore
    SIGTERM as well; what is caught here is a default again in a started program.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def main() -> None:
    """Measure ROUNDS times, the sides taking turns, and print what came out."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    default_signals()
    ours: Figures = defaultdict(list)
    peer: Figures = defaultdict(list)
    try:
        read_programs_once()
        for number in range(1, rounds + 1):
            for side, figures in ((Ours, ours), (Peer, peer)):
                print(f"round {number} of {rounds}: {side.__name__.lower()}", file=sys.stderr)
                with temporary_directory() as home:
                    measure(side(home), figures)
    except DidNotStart as error:
        sys.exit(f"bench: {error}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"median (smallest-largest) of {rounds} rounds, {os.cpu_count()} cores, load {load}")
    print(*table(ours, peer), "", *targets(ours, peer), sep="\n")


if __name__ == "__main__":
    main()
