"""Qdrant's server: what it says of itself, and whether the client fits it."""

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterable
from http.client import HTTPException
from importlib.metadata import version
from typing import Any

from dagma.stack import access, topology
from dagma.stack.settings import Loaded, Settings

#: Qdrant's variable for the key that its server asks for.
KEY = "QDRANT__SERVICE__API_KEY"
#: What it answers to who has it not.
REFUSED = (401, 403)
#: Seconds for a server, or its program, to tell its version.
PATIENCE = 5.0
_VERSION = re.compile(r"\b(\d+)\.(\d+)\.\d+\S*")


class Server:
    """A server over HTTP: the stack's own, or another that QDRANT_URL names."""

    def __init__(self, loaded: Loaded, url: str | None = None) -> None:
        chosen = loaded.settings
        self.url = (url or "").rstrip(
            "/"
        ) or f"http://{topology.probe_host(chosen)}:{chosen.qdrant_port}"
        key = None if url else {**loaded.extra, **os.environ}.get(KEY) or _token(chosen)
        self._headers = {"api-key": key} if key else {}
        proxies = urllib.request.ProxyHandler(None if url else {})
        self._opener = urllib.request.build_opener(proxies)

    @property
    def shown(self) -> str:
        """The address without a password in it."""
        return re.sub(r"//[^/@]*@", "//***@", self.url)

    def ask(self, method: str, path: str, seconds: float) -> Any:  # noqa: ANN401 - what urllib returns
        """The answer, a file; raises OSError."""
        request = urllib.request.Request(self.url + path, headers=self._headers, method=method)
        return self._opener.open(request, timeout=seconds)

    def version(self) -> str | None:
        """What the server says, which needs no key; None when none answers, or no Qdrant."""
        try:
            with self.ask("GET", "/", PATIENCE) as answer:
                said = json.load(answer)["version"]
        except (OSError, HTTPException, ValueError, LookupError, TypeError):
            return None
        return said if isinstance(said, str) and _parts(said) else None


def _token(chosen: Settings) -> str | None:
    """What the stack's own server asks for, once it was made."""
    try:
        return access.secret(chosen) if access.needs_token(chosen) else None
    except OSError:
        return None


def problem(loaded: Loaded, services: Iterable[str]) -> str | None:
    """A sentence when the server that assets ask answers and does not fit the client.

    Args:
        loaded: The settings.
        services: Those that run, maybe among them the stack's own server.
    """
    other = loaded.settings.qdrant_url
    if other is None and "qdrant" not in services:
        return None
    server = Server(loaded, other)
    said = server.version()
    return misfit(said, f"at {server.shown}") if said else None


def program_version(program: str) -> str | None:
    """What a server's program says of itself; None when it says no version."""
    try:
        said = subprocess.run(
            [program, "--version"],
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
