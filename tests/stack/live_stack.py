"""A real stack for tests: free ports, a state of its own, and ways to ask its services."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from platform_client import Platform, free_ports, wait_for

import dagma
from dagma.stack import supervisor

PORTS = ("POSTGRES_PORT", "DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT")
PORTS_QDRANT = ("QDRANT_PORT", "QDRANT_GRPC_PORT")
OURS = ("DAGMA_", "DAGSTER_", "POSTGRES_", "MLFLOW_", "QDRANT_", "USER_CODE_", "PC_", "PG")
#: What says which programs this machine has.
INHERITED = ("DAGMA_QDRANT_BIN",)
#: Seconds for a cold start on a slow, busy machine.
LONG = 300.0


@dataclass
class LiveStack(Platform):
    """A state directory with its own ports, and the command line on it."""

    base: Path
    ports: dict[str, int]
    settings: dict[str, str] = field(default_factory=dict)
    #: Of the commands, as their user's shell has it; -1 is ours.
    umask: int = -1

    @property
    def home(self) -> Path:
        return self.base / "h: é"  # what shells and YAML would take for more than a name

    @property
    def backups(self) -> Path:
        return self.base / f"{self.home.name}-backups"

    @property
    def work(self) -> Path:
        return self.base / "w"

    def environ(self) -> dict[str, str]:
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(OURS) or k in INHERITED
        }
        source = str(Path(dagma.__file__).parents[1])
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        return (
            inherited
            | {name: str(port) for name, port in self.ports.items()}
            | {"DAGMA_HOME": str(self.home), "PYTHONPATH": os.pathsep.join(paths)}
            | self.settings
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run the command line in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "dagma.cli", *arguments],
            cwd=self.work,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=self.umask,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the command line to its end: exit code and what it printed."""
        with self.start(*arguments) as process:
            try:
                output, _ = process.communicate(timeout=LONG)
            except subprocess.TimeoutExpired:
                process.kill()  # leaving the block waits for its end
                raise
        return process.returncode, output

    def dagma(self, *arguments: str, fails: bool = False) -> str:
        """Run the command line to its end; what it printed."""
        code, output = self.run(*arguments)
        assert (code != 0) == fails, (
            f"dagma {' '.join(arguments)} -> {code}\n{output}\n{self.log_tails()}"
        )
        return output

    def exports(self) -> dict[str, str]:
        """What a shell has after `eval "$(dagma env)"`, of what `dagma env` sets."""
        words = [shlex.split(line) for line in self.dagma("env").splitlines()]
        return dict(assignment.split("=", 1) for _export, assignment in words)

    def status(self) -> dict[str, dict[str, Any]]:
        _, output = self.run("status", "--json")
        return {service["name"]: service for service in json.loads(output)["services"]}

    def wait_healthy(self, name: str, seconds: float) -> dict[str, Any]:
        return wait_for(
            lambda: (s := self.status()[name])["healthy"] and s, seconds, f"{name} healthy"
        )

    def processes(self, *beginning: str) -> list[psutil.Process]:
        """The stack's processes whose command line begins so; others come and go meanwhile."""
        found = []
        for process in supervisor.members(self.home):
            with suppress(psutil.NoSuchProcess):
                program, *arguments = process.cmdline() or [""]
                if (Path(program).name, *arguments)[: len(beginning)] == beginning:
                    found.append(process)
        return found

    def log_tails(self) -> str:
        parts = []
        for path in sorted((self.home / "logs").glob("*.*")):
            lines = path.read_text(errors="replace").splitlines()[-15:]
            parts.append("\n".join([f"--- {path.name}", *lines]))
        return "\n".join(parts)

    @contextmanager
    def database(self, role: str, database: str) -> Iterator[Any]:
        """A cursor of one of the roles, with the password that the stack made."""
        secret = (self.home / "secrets" / role).read_text()
        link = psycopg2.connect(
            host="127.0.0.1",
            port=self.ports["POSTGRES_PORT"],
            user=role,
            password=secret,
            dbname=database,
        )
        with closing(link), link.cursor() as cursor:
            yield cursor

    def rows(self, query: str, *values: Any, database: str = "dagster") -> list[tuple[Any, ...]]:
        with self.database("postgres", database) as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()


def a_short_folder(within: str | None = None) -> Path:
    """A new folder below which a state directory has room for the names of its sockets.

    Their paths may have 103 bytes on macOS (sockaddr_un), whose own TMPDIR is half of that.

    Args:
        within: Where it is made; by default in TMPDIR.
    """
    parent = within or tempfile.gettempdir()
    return Path(
        tempfile.mkdtemp(prefix="d", dir=parent if len(os.fsencode(parent)) <= 60 else "/tmp")
    )


@contextmanager
def a_stack(within: str | None = None, **settings: str) -> Iterator[LiveStack]:
    """A state directory that is stopped and removed at the end.

    Args:
        within: Where it is made; `nix develop` has a TMPDIR that no other user enters.
        settings: Environment variables.
    """
    base = a_short_folder(within)
    base.chmod(0o711)  # root's PostgreSQL runs as another user
    names = (*PORTS, *PORTS_QDRANT)
    # Whether other people may log in to the machine is not to matter, but where it is tested.
    settings = {"DAGMA_TOKEN": "off"} | settings
    live = LiveStack(base, dict(zip(names, free_ports(len(names)), strict=True)), settings)
    live.work.mkdir()
    try:
        yield live
    finally:
        live.run("down", "--now")  # a failed test may leave a run that waits for ever
        shutil.rmtree(base)
