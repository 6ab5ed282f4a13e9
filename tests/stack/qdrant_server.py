"""A real server of Qdrant for tests, where there is a program, and answers of other versions."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from platform_client import free_ports, wait_for

#: Named by DAGMA_QDRANT_BIN, otherwise found on PATH, as the stack does it.
PROGRAM = shutil.which(os.environ.get("DAGMA_QDRANT_BIN", "qdrant"))
WHY_NOT = "no Qdrant server: DAGMA_QDRANT_BIN names no program, and none on PATH is called qdrant"
needs_qdrant = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


@contextmanager
def a_server(folder: Path, **settings: str) -> Iterator[str]:
    """A server with its storage in a folder; its address."""
    if PROGRAM is None:
        pytest.skip(WHY_NOT)
    http, grpc = free_ports(2)
    environ = os.environ | {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__HTTP_PORT": str(http),
        "QDRANT__SERVICE__GRPC_PORT": str(grpc),
        "QDRANT__TELEMETRY_DISABLED": "true",
    }
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(
            [PROGRAM], cwd=folder, env=environ | settings, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{http}"
    try:
        wait_for(lambda: answers(f"{url}/readyz"), 120, "the server of Qdrant")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=60)


def answers(url: str) -> bool:
    """Whether something answers there, past any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def says(answer: object, key: str | None = None) -> Iterator[str]:
    """A server that answers everything so, as JSON, to who has its key; its address.

    So Qdrant's first page is had in any version.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200 if key in (None, self.headers["api-key"]) else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
