"""An API server that has its certificate but not its weight."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from contracts.certificates import CERTIFICATES
from contracts.machines import MachinePlan, MachineRole
from contracts.vault import Authority
from tests.contract.authority import TestVault
from tests.nodes.frozen import make_request


class Server(http.server.ThreadingHTTPServer):
    """Refuses two requests and answers the third."""

    def __init__(self, pair: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refusals = 2
        self.asked: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}/readyz"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        ready, self.server.refusals = self.server.refusals <= 0, self.server.refusals - 1
        body = b"ok" if ready else b"not yet"
        self.send_response(200 if ready else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def authority_file(tmp_path: Path) -> Path:
    return tmp_path / "ca.crt"


@pytest.fixture
def server(tmp_path: Path, authority_file: Path) -> Iterator[Server]:
    """A server with an API server's certificate, whose CA is in ``authority_file``."""
    request = make_request("1.37.2-1", "control-plane")
    machine = MachinePlan(name="x", role=MachineRole.CONTROL_PLANE, host=11)
    authority = TestVault(request.cluster).authorities[Authority.KUBERNETES]
    key = ec.generate_private_key(ec.SECP256R1())
    pair = authority.sign(key.public_key(), CERTIFICATES["kube-apiserver"], request.cluster, machine)
    pair += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (tmp_path / "pair.pem").write_text(pair)
    authority_file.write_text(authority.pem)
    with Server(tmp_path / "pair.pem") as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()
