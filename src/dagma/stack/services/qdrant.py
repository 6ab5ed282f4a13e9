"""Qdrant: the vector database, or the embedded engine where there is no server.

Its server, what it says of itself, and whether the client fits it. A backup has a snapshot of all its
collections, which it loads at a start only, and a copy of what the embedded engine keeps.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dagma import values
from dagma.errors import BackupError, PreflightError
from dagma.private import write_private
from dagma.stack.fields import STACK, Part, setting
from dagma.stack.layout import Layout
from dagma.stack.service import Finding, Process, Say, Service, Tree, probe_host, text

if TYPE_CHECKING:
    from dagma.stack.control import Stack
    from dagma.stack.settings import Loaded, Settings
    from dagma.stack.upkeep.archive import Archive, Writer

#: Qdrant's variable for the key that its server asks for.
KEY = "QDRANT__SERVICE__API_KEY"
#: What it answers to who has it not.
REFUSED = (401, 403)
#: Seconds for a server, or its program, to tell its version.
PATIENCE = 5.0
#: The part of an archive, and its member, that holds the snapshot of the server.
PART = "qdrant/server"
SNAPSHOT = f"{PART}/storage.snapshot"
#: Qdrant's API of full snapshots, https://api.qdrant.tech/api-reference/snapshots.
SNAPSHOTS = "/snapshots"
#: Seconds that the server may take for a snapshot.
SNAPSHOT_PATIENCE = 3600.0
_VERSION = re.compile(r"\b(\d+)\.(\d+)\.\d+\S*")
_SERVER = ("qdrant",)


class QdrantSettings(Part):
    """What a user can set about Qdrant."""

    qdrant_port: values.Port = setting("QDRANT_PORT", 6333, "HTTP port of Qdrant.", taken_by=STACK)
    qdrant_grpc_port: values.Port = setting(
        "QDRANT_GRPC_PORT", 6334, "gRPC port of Qdrant.", taken_by=STACK
    )
    qdrant_url: values.Url | None = setting(
        "QDRANT_URL", None, "Qdrant server that assets use.", "the stack's own when it has one"
    )
    qdrant_path: values.Directory | None = setting(
        "QDRANT_PATH",
        None,
        "Directory of the embedded Qdrant that assets use without a server.",
        "DAGMA_HOME/qdrant/embedded",
    )
    qdrant_bin: values.Directory | None = setting(
        "DAGMA_QDRANT_BIN",
        None,
        "Program of the Qdrant server.",
        "qdrant on PATH",
        taken_by=_SERVER,
    )
    qdrant_web_ui: values.Directory | None = setting(
        "QDRANT__SERVICE__STATIC_CONTENT_DIR",
        None,
        "Files of Qdrant's dashboard; with nixpkgs they are there.",
        "DAGMA_HOME/qdrant/static",
        taken_by=_SERVER,
    )


def folder(settings: "Settings") -> Path:
    """Storage of the server and, in `embedded`, of the embedded engine."""
    return settings.home / "qdrant"


def embedded(settings: "Settings") -> Path:
    """What the embedded engine keeps."""
    return settings.qdrant_path or folder(settings) / "embedded"


def web_ui(settings: "Settings") -> Path:
    """The files of the dashboard, where there are some; Qdrant's own default."""
    return settings.qdrant_web_ui or folder(settings) / "static"


def config(settings: "Settings") -> Path:
    """What the server is told in a file, since it is secret."""
    return Layout.of(settings).secrets / "qdrant.yaml"


def program(settings: "Settings") -> str | None:
    """The server, if this machine has one.

    Raises:
        PreflightError: DAGMA_QDRANT_BIN names no program.
    """
    if settings.qdrant_bin is None:
        return shutil.which("qdrant")
    found = shutil.which(settings.qdrant_bin)
    if found is None:
        raise PreflightError(
            f"DAGMA_QDRANT_BIN is {str(settings.qdrant_bin)!r}, which is not an executable file."
        )
    return found


class Qdrant(Service):
    """The vector database's server, where there is one."""

    name = "qdrant"
    page = "vectors.md"
    groups = ("vector", "ml", "full")
    own = ("QDRANT_",)
    products = {"QDRANT__": _SERVER}  # noqa: RUF012 - typed in Service
    # To the server an empty key is one too, which everybody has.
    never_empty = ("QDRANT__",)
    made = frozenset({"DAGMA_QDRANT_PROGRAM", "DAGMA_WITHOUT_QDRANT", "DAGMA_QDRANT_CONFIG"})
    distributions = ("qdrant-client",)
    processes = (
        Process(
            "qdrant",
            "http://{web}:{s.qdrant_port}",
            ("qdrant_port", "qdrant_grpc_port"),
            page="own",
        ),
    )
    trees = (Tree("qdrant/embedded", "the embedded Qdrant", embedded, "qdrant_path"),)
    measured = ("vectors", "vectors")

    def missing(self, settings: "Settings") -> str | None:
        """There is no program."""
        if program(settings):
            return None
        return (
            "qdrant is left out: there is no qdrant program on PATH or in DAGMA_QDRANT_BIN; "
            "assets use the embedded engine in QDRANT_PATH."
        )

    def url(self, process: Process, settings: "Settings") -> str:
        """The dashboard, where its files are there."""
        found = super().url(process, settings)
        page = web_ui(settings) / "index.html"
        return f"{found}/dashboard" if page.is_file() else found

    def directories(self, settings: "Settings") -> list[Path]:
        """That of the storage."""
        return [folder(settings)]

    def prepare(self, settings: "Settings") -> list[str]:
        """Let the server ask for the token, which it calls its API key.

        By default pages of any site may read what it answers; its own dashboard is not of another site.
        """
        from dagma.stack import access

        service: dict[str, bool | str] = {"enable_cors": False}
        if access.needs_token(settings):
            service["api_key"] = access.secret(settings)
        write_private(config(settings), json.dumps({"service": service}) + "\n")
        return []

    def exports(
        self, settings: "Settings", running: list[str], environ: Mapping[str, str]
    ) -> dict[str, str]:
        """What the topology starts, and where assets keep vectors."""
        exported = {
            "DAGMA_WITHOUT_QDRANT": text("qdrant" not in running),
            "DAGMA_QDRANT_PROGRAM": program(settings) or "qdrant",
            "DAGMA_QDRANT_CONFIG": str(config(settings)),
            "QDRANT_PATH": str(embedded(settings)),
        }
        if "qdrant" in running and settings.qdrant_url is None:
            exported["QDRANT_URL"] = f"http://{probe_host(settings)}:{settings.qdrant_port}"
        return exported

    def problem(self, loaded: "Loaded", running: list[str]) -> str | None:
        """The server that assets ask answers and does not fit the client."""
        other = loaded.settings.qdrant_url
        if other is None and "qdrant" not in running:
            return None
        server = Server(loaded, other)
        said = server.version()
        return misfit(said, f"at {server.shown}") if said else None

    def examine(self, stack: "Stack") -> list[Finding]:
        """The server that assets ask: QDRANT_URL's, or the stack's own, which need not run."""
        try:
            ours = program(stack.settings)
        except PreflightError as error:
            return [Finding("FAIL", str(error))]
        if other := stack.settings.qdrant_url:
            server = Server(stack.loaded, other)
            return [_fits(server.version(), f"at {server.shown}")]
        if ours is None:
            none = "No qdrant server: assets use the embedded engine in QDRANT_PATH."
            return [Finding("WARN", none)]
        running = Server(stack.loaded).version() if stack.running() else None
        return [_fits(running or program_version(ours), ours)]

    def sized(self, settings: "Settings") -> list[Path]:
        """The server's storage, with the embedded engine's, which may be elsewhere."""
        within = embedded(settings).is_relative_to(folder(settings))
        return [folder(settings)] if within else [folder(settings), embedded(settings)]

    def back_up(self, stack: "Stack", writer: "Writer", spool: Path, say: Say) -> dict[str, str]:
        """Take a snapshot of all collections of the server, where one runs; the server's version."""
        from urllib.error import HTTPError

        from rich.filesize import decimal

        found = stack.supervisor.processes().get("qdrant")
        if found is None or not found.healthy:
            if (folder(stack.settings) / "storage").exists():
                say("Not in the backup: the vectors of Qdrant's server, which does not run.")
            return {}
        server = Server(stack.loaded)
        with tempfile.TemporaryFile(dir=spool) as file:
            try:
                _snapshot(server, file)
                _forget_checksums(folder(stack.settings) / "snapshots")
            except HTTPError as error:
                hint = f"; does {KEY} hold its key?" if error.code in REFUSED else "."
                raise BackupError(f"Qdrant's server gives no snapshot: {error}{hint}") from error
            size = file.tell()
            file.seek(0)
            writer.add(SNAPSHOT, file, size)
        say(f"Took a snapshot of Qdrant's server: {decimal(size)}.")
        known = server.version()
        return {"qdrant": known} if known else {}

    def restorable(self, settings: "Settings", archive: "Archive") -> dict[str, str]:
        """The version of the server, where it is needed and tells one."""
        if not archive.names(PART):
            return {}
        ours = program(settings)
        if ours is None:
            raise BackupError(
                "The backup holds vectors of Qdrant's server, and there is no qdrant program on PATH "
                "or in DAGMA_QDRANT_BIN to restore them with."
            )
        known = program_version(ours)
        return {"qdrant": known} if known else {}

    def restore(self, fresh: "Loaded", archive: "Archive", say: Say) -> None:
        """Let the server load its snapshot, which it does at a start only."""
        if not archive.names(PART):
            return
        from dagma.stack import preflight
        from dagma.stack.upkeep import temporary

        chosen = fresh.settings
        preflight.ports(chosen, "qdrant")
        with tempfile.TemporaryDirectory(dir=folder(chosen)) as place:
            archive.extract(PART, Path(place))
            command = [program(chosen) or "qdrant", "--disable-telemetry"]
            command += ["--config-path", str(config(chosen))]
            command += ["--storage-snapshot", str(Path(place) / Path(SNAPSHOT).name)]
            extra = {
                "QDRANT__SERVICE__HOST": "127.0.0.1",
                "QDRANT__SERVICE__HTTP_PORT": str(chosen.qdrant_port),
                "QDRANT__SERVICE__GRPC_PORT": str(chosen.qdrant_grpc_port),
                # From its working directory: it takes a path with a colon for two words.
                "QDRANT__STORAGE__STORAGE_PATH": "storage",
                "QDRANT__STORAGE__SNAPSHOTS_PATH": "snapshots",
            }
            ready = f"http://127.0.0.1:{chosen.qdrant_port}/readyz"
            with temporary.server(fresh, "qdrant", command, extra, folder(chosen)) as server:
                temporary.wait(server, fresh, "qdrant", lambda: temporary.answers(ready))
        say("Restored the vectors of Qdrant's server.")


class Server:
    """A server over HTTP: the stack's own, or another that QDRANT_URL names."""

    def __init__(self, loaded: "Loaded", url: str | None = None) -> None:
        chosen = loaded.settings
        self.url = (url or "").rstrip("/") or f"http://{probe_host(chosen)}:{chosen.qdrant_port}"
        key = None if url else {**loaded.extra, **os.environ}.get(KEY) or _token(chosen)
        self._headers = {"api-key": key} if key else {}
        self._own = url is None

    @property
    def shown(self) -> str:
        """The address without a password in it."""
        return re.sub(r"//[^/@]*@", "//***@", self.url)

    def ask(self, method: str, path: str, seconds: float) -> Any:  # noqa: ANN401 - what urllib returns
        """The answer, a file; raises OSError."""
        from urllib.request import Request, build_opener  # for those who ask only

        from dagma.stack import direct

        request = Request(self.url + path, headers=self._headers, method=method)
        # Not `urlopen`, which keeps the proxy that the environment named at its first call.
        opened = direct.opened if self._own else build_opener().open
        return opened(request, timeout=seconds)

    def version(self) -> str | None:
        """What the server says, which needs no key; None when none answers, or no Qdrant."""
        from http.client import HTTPException

        try:
            with self.ask("GET", "/", PATIENCE) as answer:
                said = json.load(answer)["version"]
        except (OSError, HTTPException, ValueError, LookupError, TypeError):
            return None
        return said if isinstance(said, str) and _parts(said) else None


def _token(chosen: "Settings") -> str | None:
    """What the stack's own server asks for, once it was made."""
    from dagma.stack import access

    with contextlib.suppress(OSError):
        return access.secret(chosen) if access.needs_token(chosen) else None
    return None


def _snapshot(server: Server, file: IO[bytes]) -> None:
    """Let the server make a snapshot, copy it, and remove it there."""
    from dagma.stack.upkeep.archive import CHUNK

    with server.ask("POST", SNAPSHOTS, SNAPSHOT_PATIENCE) as answer:
        name = json.load(answer)["result"]["name"]
    path = f"{SNAPSHOTS}/{urllib.parse.quote(name)}"
    try:
        with server.ask("GET", path, SNAPSHOT_PATIENCE) as answer:
            shutil.copyfileobj(answer, file, CHUNK)
    finally:
        server.ask("DELETE", path, SNAPSHOT_PATIENCE).close()


def _forget_checksums(snapshots: Path) -> None:
    """Remove those of the collections' snapshots that the server has put into the one of all."""
    for checksum in snapshots.glob("*/*.snapshot.checksum"):
        if not checksum.with_suffix("").exists():
            checksum.unlink(missing_ok=True)


def _fits(server: str | None, where: str) -> Finding:
    if server is None:
        return Finding("WARN", f"Qdrant's server {where} does not tell its version.")
    if problem := misfit(server, where):
        return Finding("WARN", problem)
    return Finding("OK", f"Qdrant's server {where} is {server}, which fits the client.")


def program_version(path: str) -> str | None:
    """What a server's program says of itself; None when it says no version."""
    try:
        said = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(said.stdout)
    return found[0] if found else None


def misfit(server: str, where: str) -> str | None:
    """A sentence when the client does not fit a server of this version, otherwise None."""
    client = version("qdrant-client")
    if fits(server, client):
        return None
    major, minor = _parts(client) or (0, 0)
    return (
        f"Qdrant's server {where} is {server}, which does not fit the client {client}: its makers "
        f"support a server of {major}.{max(minor - 1, 0)} to {major}.{minor + 1}. Name such a one in "
        "DAGMA_QDRANT_BIN or QDRANT_URL, or expect that requests fail."
    )


def fits(server: str, client: str) -> bool:
    """Whether both are of one major version and of the same minor one or neighbours.

    This is the rule of the client's own check, which would import all of it to warn on stderr.
    """
    ours, theirs = _parts(client), _parts(server)
    if ours is None or theirs is None:
        return False
    return ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1


def _parts(text: str) -> tuple[int, int] | None:
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2])) if found else None
