"""Which certificates a machine's endpoints show, by a handshake with each (RFC 8446)."""

import socket
import ssl
from functools import partial

from cryptography import x509

from activities.kubernetes.waiting import patience, poll
from activities.parallel import gather
from api.errors import ErrorCode
from contracts.certificates import CERTIFICATES
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import Authority
from nodes.v1.controllers import CONTROLLER_MANAGER_PORT, SCHEDULER_PORT
from nodes.v1.etcd import CLIENT_PORT, HTTP_PORT, PEER_PORT
from nodes.v1.kubelet import KUBELET_PORT

CONNECT_SECONDS = 3.0

_PORTS = {
    "kube-controller-manager-serving": (CONTROLLER_MANAGER_PORT,),
    "kube-scheduler-serving": (SCHEDULER_PORT,),
    "etcd-server": (CLIENT_PORT, HTTP_PORT),
    "etcd-peer": (PEER_PORT,),
    "kubelet": (KUBELET_PORT,),
}


def ports(certificate: str, cluster: ClusterContext) -> tuple[int, ...]:
    """Return the ports at which a machine shows one of its certificates; none for those of clients."""
    return (cluster.spec.network.api_port,) if certificate == "kube-apiserver" else _PORTS.get(certificate, ())


def await_serials(
    cluster: ClusterContext, address: str, serials: dict[str, str], tls: dict[Authority, ssl.SSLContext]
) -> int:
    """Wait until the machine at ``address`` shows the certificates with ``serials`` wherever it serves with them.

    ``tls`` gives for each CA what handshakes are made with. Returns the number of endpoints. Raises ``StepError``
    with CertificateNotServed, naming those that show another one.
    """
    endpoints = [(name, port) for name in serials for port in ports(name, cluster)]
    others: list[str] = []

    def shown() -> bool | None:
        looks = [partial(_serial, address, port, tls[CERTIFICATES[name].authority]) for name, port in endpoints]
        others[:] = [
            f"{name} at {address}:{port} ({'no answer' if serial is None else f'{serial:x}'})"
            for (name, port), serial in zip(endpoints, gather(looks), strict=True)
            if serial != int(serials[name].replace(":", ""), 16)
        ]
        return None if others else True

    if not poll(shown, patience()):
        raise StepError(ErrorCode.CERTIFICATE_NOT_SERVED, f"not shown yet: {', '.join(others)}")
    return len(endpoints)


def _serial(address: str, port: int, tls: ssl.SSLContext) -> int | None:
    certificate = shown_certificate(address, port, tls)
    return certificate.serial_number if certificate else None


def shown_certificate(address: str, port: int, tls: ssl.SSLContext) -> x509.Certificate | None:
    """Return the certificate that an endpoint shows, None without one that is trusted."""
    try:
        with (
            socket.create_connection((address, port), timeout=CONNECT_SECONDS) as plain,
            tls.wrap_socket(plain, server_hostname=address) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError:
        return None
    return x509.load_der_x509_certificate(shown) if shown else None
