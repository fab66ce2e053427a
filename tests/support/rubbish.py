"""Something that answers at a supervisor's socket and is none."""

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread


class _Rubbish(BaseHTTPRequestHandler):
    body = b""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def answering(socket: Path, body: bytes) -> Iterator[None]:
    """Answer every request at ``socket`` with ``body``."""
    handler = type("Handler", (_Rubbish,), {"body": body})
    with socketserver.UnixStreamServer(str(socket), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


RUBBISH = (b"no XML", b"<?xml version='1.0'?><methodResponse></methodResponse>")
