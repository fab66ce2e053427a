"""A server that shows whoever calls one certificate after the other, and notes who takes which."""

import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from tests.e2e.matrix.credentials import Credential, present

TIMEOUT_SECONDS, FAREWELL_SECONDS = 5.0, 1.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}"


class Impostor:
    """Listens at ``address``; every connection is met with the next certificate of ``faces``, by name.

    ``refused`` has the alerts that clients sent, ``accepted`` the certificates (DER) that those presented who went
    on, empty for none; they are checked against the CA ``authority`` (PEM).
    """

    def __init__(self, address: tuple[str, int], faces: Mapping[str, Credential], authority: str) -> None:
        """Listen at once, so that who calls from now on isn't turned away."""
        self.refused: dict[str, str] = {}
        self.accepted: dict[str, bytes] = {}
        self._contexts = {name: _server_context(face, authority) for name, face in faces.items()}
        self._listener = socket.create_server(address, reuse_port=False)
        self._listener.settimeout(0.2)
        self._finished = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stopped.set()
        self._thread.join()
        self._listener.close()

    def wait(self, seconds: float) -> bool:
        """Wait until all faces were judged, at most ``seconds``; say whether they were."""
        return self._finished.wait(seconds)

    def _serve(self) -> None:
        for name, context in self._contexts.items():
            while name not in self.refused and name not in self.accepted:
                if self._stopped.is_set():
                    return
                with suppress(TimeoutError):
                    self._meet(name, context)
        self._finished.set()

    def _meet(self, name: str, context: ssl.SSLContext) -> None:
        """Take one connection. One that ends without a word, as at a client's own end, decides nothing."""
        connection, _ = self._listener.accept()
        connection.settimeout(TIMEOUT_SECONDS)
        with connection, suppress(ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    self.accepted[name] = secure.getpeercert(binary_form=True) or b""
                    secure.settimeout(FAREWELL_SECONDS)
                    secure.recv(65536)
                    secure.sendall(_ANSWER)
                    while secure.recv(65536):  # closing with something unread would reset the connection
                        pass
            except ssl.SSLError as error:
                if "ALERT" not in str(error.reason):
                    raise
                self.refused[name] = str(error.reason)


def _server_context(face: Credential, authority: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    present(context, face)
    context.set_alpn_protocols(["http/1.1", "h2"])  # the second for gRPC, which asks for nothing else
    context.load_verify_locations(cadata=authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
