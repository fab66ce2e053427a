"""etcd, one member on each control plane machine (etcd: "Clustering Guide", "Transport security model")."""

from contracts.certificates import CERTIFICATES
from nodes.model import Scope, Service

CLIENT_PORT = 2379
PEER_PORT = 2380
HTTP_PORT = 2381
"""Health and metrics, apart from gRPC as etcd advises, and behind the same mutual TLS."""

CONTROL_PLANE_WEIGHT = 1000
"""Nothing else on a control plane machine gets on without the API: when all start at once, it goes before them."""


def etcd(scope: Scope) -> Service:
    """Return the member of this machine. Members are known by their slots' addresses."""
    return Service(
        name="etcd",
        argv=(scope.layout.binary("etcd"), *_membership(scope), *_security(scope), *_timing(scope)),
        listens=(CLIENT_PORT, PEER_PORT, HTTP_PORT),
        weight=CONTROL_PLANE_WEIGHT,
    )


def _membership(scope: Scope) -> tuple[str, ...]:
    cluster, address = scope.request.cluster, scope.address
    members = (f"{slot.name}=https://{cluster.address(slot.host)}:{PEER_PORT}" for slot in scope.request.slots)
    return (
        f"--name={scope.request.machine.name}",
        f"--data-dir={scope.layout.etcd}/data",
        f"--initial-cluster={','.join(members)}",
        f"--initial-cluster-token={cluster.cluster_id}",
        "--initial-cluster-state=new",
        f"--initial-advertise-peer-urls=https://{address}:{PEER_PORT}",
        f"--listen-peer-urls=https://{address}:{PEER_PORT}",
        f"--advertise-client-urls=https://{address}:{CLIENT_PORT}",
        f"--listen-client-urls=https://{address}:{CLIENT_PORT}",
        f"--listen-client-http-urls=https://{address}:{HTTP_PORT}",
    )


def _security(scope: Scope) -> tuple[str, ...]:
    layout, authority = scope.layout, scope.layout.certificate("etcd-ca")
    return (
        "--client-cert-auth",
        f"--trusted-ca-file={authority}",
        f"--cert-file={layout.certificate('etcd-server')}",
        f"--key-file={layout.key('etcd-server')}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={authority}",
        f"--peer-cert-file={layout.certificate('etcd-peer')}",
        f"--peer-key-file={layout.key('etcd-peer')}",
        # Clients' certificates come from the same CA, and must not open the members' own port.
        f"--peer-cert-allowed-cn={CERTIFICATES['etcd-peer'].subject(scope.request.machine.name)}",
        "--tls-min-version=TLS1.2",
    )


def _timing(scope: Scope) -> tuple[str, ...]:
    """A lone member still waits out an election timeout before it serves: up to a second by default.

    Not so on virtual machines: a tick every 10 ms costs more there than the second that it saves. Several on
    virtual machines may wait for a busy hypervisor, and should not take that for a leader's end (etcd: "Tuning").
    """
    several = len(scope.request.slots) > 1
    if scope.runs_containers:
        return ("--heartbeat-interval=500", "--election-timeout=2500") if several else ()
    return () if several else ("--heartbeat-interval=10", "--election-timeout=100")
