"""deploy/compose.yaml under podman-compose, for tests: a name and ports of its own."""

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import psycopg2
from platform_client import Platform, free_ports, wait_for

PORTS = ("DAGSTER_WEBSERVER_PORT", "MLFLOW_PORT")
SERVERS = ("postgres", "user_code", "webserver", "daemon", "mlflow")
#: Those of our own images, which have `healthy`.
OURS = SERVERS[1:]
#: Those that prepare the databases and end.
ONCE = ("init", "init_mlflow")

#: Upstream's image is in a registry; what stands in for it has its programs from here.
OVERRIDE = """
services:
  postgres:
    volumes: ["/nix/store:/nix/store:ro"]
"""


class Compose(Platform):
    """The topology of one compose file."""

    def __init__(self, file: Path, folder: Path, postgres_image: str) -> None:
        self.project = f"dagma-{secrets.token_hex(4)}"
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        override = folder / "override.yaml"
        override.write_text(OVERRIDE)
        self.command = ["podman-compose", "-p", self.project, "-f", str(file), "-f", str(override)]
        self.environ = {
            **os.environ,
            **{name: str(port) for name, port in self.ports.items()},
            "DAGMA_IMAGE_TAG": "test",
            "DAGMA_POSTGRES_IMAGE": postgres_image,
        }

    def run(self, *arguments: str) -> str:
        """Run podman-compose; what it printed."""
        done = subprocess.run(
            [*self.command, *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{' '.join(arguments)} -> {done.returncode}\n{done.stdout}"
        return done.stdout

    def up(self) -> None:
        """Start all but Qdrant, as docs/deploy.md says, and wait until `healthy` says so."""
        self.run("up", "--no-start", "--no-deps", *ONCE, *SERVERS)
        self.run("up", "-d", *ONCE, *SERVERS)
        for service in OURS:
            wait_for(lambda s=service: self.healthy(s), 120, f"{service} healthy")
        for service in ONCE:
            done = self.podman("wait", self.container(service))
            assert done.stdout == "0\n", done.stdout + self.log_tails()

    def down(self) -> None:
        self.run("down", "--volumes", "--timeout=0")

    def container(self, service: str) -> str:
        return f"{self.project}_{service}_1"

    def podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)

    def healthy(self, service: str) -> bool:
        """Whether the image's probe is content."""
        return self.podman("exec", self.container(service), "healthy").returncode == 0

    def inspect(self, service: str) -> dict[str, Any]:
        found = self.podman("container", "inspect", self.container(service))
        assert found.returncode == 0, found.stderr
        [container] = json.loads(found.stdout)
        return container

    def exec(self, service: str, *command: str) -> str:
        done = self.podman("exec", self.container(service), *command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def passwords(self) -> dict[str, str]:
        """role -> password, as `init` made them."""
        lines = self.exec("webserver", "bash", "-c", 'echo "$(</run/dagma/pgpass)"').splitlines()
        return {role: password for _, _, _, role, password in (line.split(":") for line in lines)}

    def rows(self, query: str, *values: Any, database: str = "dagster") -> list[tuple[Any, ...]]:
        """What an application's own role sees, over the network of the containers."""
        address = self.inspect("postgres")["NetworkSettings"]["Networks"]
        [network] = address.values()
        with (
            psycopg2.connect(
                host=network["IPAddress"],
                user=database,
                password=self.passwords()[database],
                dbname=database,
            ) as link,
            link.cursor() as cursor,
        ):
            cursor.execute(query, values)
            found = cursor.fetchall()
        link.close()
        return found

    def log_tails(self, lines: int = 15) -> str:
        parts = []
        for service in (*ONCE, *SERVERS):
            done = self.podman("logs", f"--tail={lines}", self.container(service))
            parts.append(f"--- {service}\n{done.stdout}{done.stderr}")
        return "\n".join(parts)
