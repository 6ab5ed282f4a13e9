"""What an attacker does: requests with any header, and pages of other sites in a real browser."""

import functools
import http.client
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

#: Every run of the stack can be asked for in this way, by whoever may ask at all.
LAUNCH = """
mutation { launchRun(executionParams: { mode: "default", selector: {
  repositoryLocationName: "dagma", repositoryName: "__repository__", jobName: "recipes" } }) {
  __typename ... on LaunchRunSuccess { run { runId } } } }
"""
SHUT_DOWN = (
    'mutation { shutdownRepositoryLocation(repositoryLocationName: "dagma") { __typename } }'
)
#: Reads nothing that matters, and changes nothing.
VERSION = "{ version }"

JSON = {"Content-Type": "application/json"}
#: What a page may send to any site without asking (Fetch standard, CORS-safelisted).
UNASKED = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")


class Answer(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: http.client.HTTPMessage
    text: str


def ask(
    port: int,
    path: str,
    headers: dict[str, str] | None = None,
    method: str = "GET",
    body: str | None = None,
) -> Answer:
    """Send a request with these headers and no others of meaning; a `Host` replaces the right one."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(link):
        link.request(method, path, body, headers or {})
        answer = link.getresponse()
        return Answer(answer.status, answer.msg, answer.read().decode(errors="replace"))


def in_address(query: str) -> str:
    """The path of a GraphQL query in the address."""
    return f"/graphql?{urlencode({'query': query})}"


@contextmanager
def a_site(files: dict[str, str]) -> Iterator[int]:
    """Another web site on this machine; its port."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        handler = functools.partial(_Quiet, directory=folder)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def browse(address: str, seconds: float = 10.0) -> str:
    """Open a page in Chromium; the document after so many seconds of its own time.

    Every name under `example` is this machine, as an attacker's name server may say.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on PATH: no page is opened in a real browser")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [
            *(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", f"--user-data-dir={folder}", "--no-proxy-server"),
            "--host-resolver-rules=MAP *.example 127.0.0.1",
            *(f"--virtual-time-budget={seconds * 1000:.0f}", "--dump-dom", address),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
