"""A webhook of the standard library, for tests: it notes what it gets and answers as told."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WebhookServer(ThreadingHTTPServer):
    """Notes messages in `messages`, and answers them with 200 and `body`.

    Before that come the statuses in `answers`, for all runs or, in `answers_to`, for one.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = []
        self.answers_to = {}
        self.body = b'{"errcode": 0, "errmsg": "ok"}'
        self.messages = []
        self.silent = threading.Event()
        self.ended = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook?key=very-secret"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        length = int(self.headers["Content-Length"])
        message = json.loads(self.rfile.read(length))
        server.messages.append(message)
        if server.silent.is_set():
            server.ended.wait(60)
            return
        answers = server.answers_to.get(message.get("run_id"), server.answers)
        self.send_response(answers.pop(0) if answers else 200)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *arguments):
        pass


@contextmanager
def a_webhook():
    """A running server, on a port of its own."""
    with WebhookServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()
