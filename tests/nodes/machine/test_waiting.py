"""Waiting for an API server, here one that has its certificate but not its weight."""

import contextlib
import http.server
import ssl
import subprocess
import sys
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


@contextlib.contextmanager
def waiting(url: str, authority: Path, command: str = "await-ready") -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-I", "-m", "nodes.machine", command]
    argv = [*program, url, str(authority), "/bin/echo", "became", "it"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_becomes_the_program_when_the_answer_is_200(server: Server, authority_file: Path) -> None:
    with waiting(server.url, authority_file) as process:
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("became it\n", "", 0)
    assert server.asked == ["/readyz"] * 3


def test_any_answer_is_enough_for_who_only_needs_one(server: Server, authority_file: Path) -> None:
    with waiting(server.url, authority_file, "await-answer") as process:
        assert process.communicate(timeout=20) == ("became it\n", "")
    assert server.asked == ["/readyz"]


@pytest.mark.parametrize("trouble", ["nobody listens", "a stranger answers", "the CA is missing"])
def test_it_waits_while_there_is_nobody_to_trust(
    server: Server, authority_file: Path, tmp_path: Path, trouble: str
) -> None:
    stranger = TestVault(make_request("1.37.2-1", "node").cluster).authorities[Authority.KUBERNETES]
    (tmp_path / "stranger.crt").write_text(stranger.pem)
    url, trusted = {
        "nobody listens": ("https://127.0.0.1:1/readyz", authority_file),
        "a stranger answers": (server.url, tmp_path / "stranger.crt"),
        "the CA is missing": (server.url, tmp_path / "missing.crt"),
    }[trouble]
    with waiting(url, trusted) as process, pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.6)
    assert not server.asked
