"""Asking an endpoint as somebody, and reading from the answer how that was taken."""

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from activities.kubernetes.identity import server_tls
from contracts.certificates import CERTIFICATES
from contracts.machines import MachineRole
from deploy.docs.access import ENDPOINTS, Outcome
from tests.e2e.matrix.credentials import Credential, present
from tests.e2e.matrix.subject import Subject

TIMEOUT_SECONDS = 10.0
TOLD_USER, TOLD_GROUP = "told-user", "system:masters"

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What a client sends first (RFC 9113, section 3.4): the preface, and SETTINGS that change nothing."""
_FRAME_HEADER, _SETTINGS = 9, 4
"""Length of a frame's header, and the type of the frame that a server must send first."""


@dataclass(frozen=True)
class Answer:
    """How a server treated a client, and as whom (Kubernetes: UserInfo) where it says so."""

    outcome: Outcome
    user: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Request:
    path: str
    body: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}

_REQUESTS = {
    "api": _Request(_WHO_AM_I, _REVIEW),
    "secrets": _Request("/api/v1/namespaces/kube-system/secrets"),
    "proxy": _Request(_WHO_AM_I, _REVIEW, {"X-Remote-User": TOLD_USER, "X-Remote-Group": TOLD_GROUP}),
    "health": _Request("/readyz"),
    "kubelet": _Request("/pods"),
    "peer": _Request("/members"),
    "http": _Request("/v3/kv/range", {"key": base64.b64encode(b"matrix").decode()}),
    "manager": _Request("/metrics"),
    "m-health": _Request("/healthz"),
    "scheduler": _Request("/metrics"),
    "s-health": _Request("/healthz"),
}


def address_of(subject: Subject, name: str) -> tuple[str, int]:
    """Return where an endpoint of a cluster is."""
    endpoint = ENDPOINTS[name]
    on_node = CERTIFICATES[endpoint.server].holder is MachineRole.NODE
    machine = subject.node if on_node else subject.control_plane
    return subject.context.address(machine.host), endpoint.port


def ask(subject: Subject, endpoint: str, credential: Credential) -> Answer:
    """Ask an endpoint once with a credential, trusting only the CA that its server must come from."""
    context = server_tls(subject.authorities[CERTIFICATES[ENDPOINTS[endpoint].server].authority])
    present(context, credential)
    address = address_of(subject, endpoint)
    try:
        if endpoint == "etcd":
            return _open_http2(address, context)
        return _send(address, context, _REQUESTS[endpoint])
    except (ssl.SSLError, ConnectionError) as error:
        if not _is_refusal(error):
            raise
        return Answer(Outcome.TLS)


def _is_refusal(error: OSError) -> bool:
    """Say whether a server ended a connection that it had taken.

    In TLS 1.3 a client learns only after its side of the handshake that it is refused: by an alert or, when its
    request meets a closed connection first, by the end of that.
    """
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return "ALERT" in str(error.reason)
    return not isinstance(error, ConnectionRefusedError)


def _send(address: tuple[str, int], context: ssl.SSLContext, request: _Request) -> Answer:
    connection = http.client.HTTPSConnection(*address, timeout=TIMEOUT_SECONDS, context=context)
    body = json.dumps(request.body) if request.body else None
    headers = {"Content-Type": "application/json", "Accept": "application/json, */*", **request.headers}
    with closing(connection):
        connection.request("POST" if body else "GET", request.path, body, headers)
        response = connection.getresponse()
        content = response.read()
    if response.status in (401, 403):
        return Answer(Outcome(str(response.status)))
    assert response.status in (200, 201), f"{response.status}: {content[:200]!r}"
    if request.path != _WHO_AM_I:
        return Answer(Outcome.ACCEPTED)
    user = json.loads(content)["status"]["userInfo"]
    return Answer(Outcome.AS_TOLD if user["username"] == TOLD_USER else Outcome.ACCEPTED, user)


def _open_http2(address: tuple[str, int], context: ssl.SSLContext) -> Answer:
    """Open a gRPC connection: it stands when the server has sent its settings."""
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(address, TIMEOUT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=address[0]) as connection,
    ):
        connection.sendall(_HTTP2_PREFACE)
        header = connection.recv(_FRAME_HEADER)
    if not header:
        raise ConnectionResetError("closed without an answer")
    assert header[3] == _SETTINGS, header
    return Answer(Outcome.ACCEPTED)
