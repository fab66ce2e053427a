"""Who gets in where, as data: shown in docs/certificates.md and tried cell by cell in tests/e2e/matrix.

What isn't allowed here is refused.
"""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a server treats a client."""

    TLS = "tls"
    """The connection ends in the TLS handshake (RFC 8446): the server gets no request."""

    UNAUTHENTICATED = "401"
    """The certificate, or having none, says nothing that the server believes (RFC 9110, section 15.5.2)."""

    FORBIDDEN = "403"
    """The server knows who asks, and that they may not (RFC 9110, section 15.5.4)."""

    ACCEPTED = "ok"
    """The request is done, in the name of the certificate's subject where the server knows users."""

    AS_TOLD = "told"
    """The request is done in the name of the user whom the headers X-Remote-… say."""


@dataclass(frozen=True)
class Endpoint:
    """One thing to ask of one server, which serves with the certificate ``server`` at ``port``."""

    name: str
    server: str
    port: int
    request: str


ENDPOINTS = {
    endpoint.name: endpoint
    for endpoint in (
        Endpoint("api", "kube-apiserver", 6443, "who am I"),
        Endpoint("secrets", "kube-apiserver", 6443, "list the secrets of kube-system"),
        Endpoint("proxy", "kube-apiserver", 6443, "who am I, with X-Remote-User and X-Remote-Group"),
        Endpoint("health", "kube-apiserver", 6443, "/readyz"),
        Endpoint("kubelet", "kubelet", 10250, "list the node's pods"),
        Endpoint("etcd", "etcd-server", 2379, "open a gRPC connection"),
        Endpoint("peer", "etcd-peer", 2380, "list the members, as another member does"),
        Endpoint("http", "etcd-server", 2381, "read a key by the HTTP gateway"),
        Endpoint("manager", "kube-controller-manager-serving", 10257, "/metrics"),
        Endpoint("m-health", "kube-controller-manager-serving", 10257, "/healthz"),
        Endpoint("scheduler", "kube-scheduler-serving", 10259, "/metrics"),
        Endpoint("s-health", "kube-scheduler-serving", 10259, "/healthz"),
    )
}
"""By the heads of the columns of ``ACCESS``. The API's port is that of a spec which names no other."""

OTHERS = {
    "user": "of a person, signed for a name without groups",
    "foreign-super-admin": "super-admin of another cluster",
    "foreign-etcd-client": "etcd-healthcheck-client of another cluster",
    "foreign-front-proxy": "front-proxy-client of another cluster",
    "self-signed": "super-admin's subject, signed with its own key",
    "forged": "super-admin's subject, the Kubernetes CA's name as issuer, signed with another key",
    "expired-super-admin": "super-admin, a moment after its end",
    "expired-etcd-client": "etcd-healthcheck-client, a moment after its end",
    "expired-front-proxy": "front-proxy-client, a moment after its end",
    "none": "no certificate",
}
"""Rows of ``ACCESS`` beside ``contracts.certificates.CERTIFICATES``, and what they are."""

_TABLE = """
certificate                     api secrets proxy health kubelet etcd peer http manager m-health scheduler s-health
kube-apiserver                  401 401     401   401    401     tls  tls  tls  401     401      401       401
kube-apiserver-kubelet-client   ok  403     ok    ok     ok      tls  tls  tls  403     ok       403       ok
kube-controller-manager         ok  ok      ok    ok     403     tls  tls  tls  403     ok       403       ok
kube-controller-manager-serving 401 401     401   401    401     tls  tls  tls  401     401      401       401
kube-scheduler                  ok  403     ok    ok     403     tls  tls  tls  403     ok       403       ok
kube-scheduler-serving          401 401     401   401    401     tls  tls  tls  401     401      401       401
etcd-server                     401 401     401   401    401     ok   tls  ok   401     401      401       401
etcd-peer                       401 401     401   401    401     ok   ok   ok   401     401      401       401
etcd-healthcheck-client         401 401     401   401    401     ok   tls  ok   401     401      401       401
kube-apiserver-etcd-client      401 401     401   401    401     ok   tls  ok   401     401      401       401
front-proxy-client              401 401     told  401    401     tls  tls  tls  401     401      401       401
kubelet                         401 401     401   401    401     tls  tls  tls  401     401      401       401
kubelet-client                  ok  403     ok    ok     403     tls  tls  tls  403     ok       403       ok
admin                           ok  ok      ok    ok     ok      tls  tls  tls  ok      ok       ok        ok
super-admin                     ok  ok      ok    ok     ok      tls  tls  tls  ok      ok       ok        ok
user                            ok  403     ok    ok     403     tls  tls  tls  403     ok       403       ok
foreign-super-admin             401 401     401   401    401     tls  tls  tls  401     401      401       401
foreign-etcd-client             401 401     401   401    401     tls  tls  tls  401     401      401       401
foreign-front-proxy             401 401     401   401    401     tls  tls  tls  401     401      401       401
self-signed                     401 401     401   401    401     tls  tls  tls  401     401      401       401
forged                          401 401     401   401    401     tls  tls  tls  401     401      401       401
expired-super-admin             401 401     401   401    401     tls  tls  tls  401     401      401       401
expired-etcd-client             401 401     401   401    401     tls  tls  tls  401     401      401       401
expired-front-proxy             401 401     401   401    401     tls  tls  tls  401     401      401       401
none                            401 401     401   ok     401     tls  tls  tls  403     ok       403       ok
"""


def _parse(table: str) -> dict[str, dict[str, Outcome]]:
    (_, *columns), *rows = (line.split() for line in table.strip().splitlines())
    return {
        name: {column: Outcome(cell) for column, cell in zip(columns, cells, strict=True)} for name, *cells in rows
    }


ACCESS = _parse(_TABLE)
"""Outcome by certificate and endpoint."""


@dataclass(frozen=True)
class Connection:
    """A component that speaks to a server: what it presents, and what the server has to show for itself.

    The server's certificate must come from the CA of the kind ``expects``, be for servers, be valid, and name
    the address that was dialled.
    """

    client: str
    server: str
    presents: str
    expects: str


CONNECTIONS = (
    Connection("kube-apiserver", "etcd", "kube-apiserver-etcd-client", "etcd-server"),
    Connection("kube-apiserver", "kubelet", "kube-apiserver-kubelet-client", "kubelet"),
    Connection("kube-controller-manager", "kube-apiserver", "kube-controller-manager", "kube-apiserver"),
    Connection("kube-scheduler", "kube-apiserver", "kube-scheduler", "kube-apiserver"),
    Connection("kubelet", "kube-apiserver", "kubelet-client", "kube-apiserver"),
    Connection("etcd", "etcd", "etcd-peer", "etcd-peer"),
    Connection("worker", "kube-apiserver", "admin", "kube-apiserver"),
    Connection("worker", "etcd", "etcd-healthcheck-client", "etcd-server"),
)
"""Every connection between components. Servers that the aggregation layer calls are checked against the CA bundle
of their APIService, and are shown ``front-proxy-client``."""
