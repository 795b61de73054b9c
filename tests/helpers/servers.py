"""A server on this machine that weights and clips are fetched from."""

import http.server
import threading
from contextlib import contextmanager
from typing import ClassVar

CONTENT = bytes(range(256)) * 40


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one content under every name; ranges too. `asked` is what it was asked for."""

    content, stop_after, status = CONTENT, None, 200
    asked: ClassVar[list[str | None]] = []

    def do_GET(self):
        wanted = self.headers["Range"]
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if self.status != 200 or start >= len(self.content):
            self.send_error(self.status if self.status != 200 else 416)
            return
        part = self.content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: self.stop_after])

    def log_message(self, *_):
        """Print nothing."""


@contextmanager
def serving(kind, monkeypatch):
    """The address of a server that runs, without a proxy and with its usual answers."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("asked", []), ("stop_after", None), ("status", 200)):
        monkeypatch.setattr(kind, name, value)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
