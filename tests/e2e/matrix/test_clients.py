"""Each component as a client: what it presents, and which servers it refuses to speak to."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509

from contracts.certificates import CERTIFICATES
from contracts.machines import MachinePlan, MachineRole
from contracts.vault import Authority
from deploy.docs.access import CONNECTIONS, Connection
from tests.e2e.matrix.credentials import Credential
from tests.e2e.matrix.impostor import Impostor
from tests.e2e.matrix.strays import aggregate, aggregated, api_client, calling, impostor_host
from tests.e2e.matrix.subject import Subject, over
from tests.support.guest import CertificateAuthority

pytestmark = pytest.mark.timeout(180)

DEADLINE_SECONDS = 60
RIGHT = "right"


@pytest.mark.parametrize("connection", CONNECTIONS, ids=lambda item: f"{item.client}-to-{item.server}")
async def test_connection(
    subject: Subject, credentials: Mapping[str, Credential], connection: Connection, tmp_path: Path
) -> None:
    faces = await _faces(subject, credentials, connection)
    host, port = impostor_host(connection)
    presented = CERTIFICATES[connection.presents]
    with (
        Impostor(
            (subject.context.address(host), port), faces, subject.authorities[presented.authority]
        ) as impostor,
        calling(subject, connection, tmp_path) as call,
    ):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not impostor.wait(0.05) and time.monotonic() < deadline:
            call()
    assert impostor.refused.keys() == faces.keys() - {RIGHT}, impostor.accepted.keys()
    shown = x509.load_der_x509_certificate(impostor.accepted[RIGHT])
    assert shown.subject == credentials[connection.presents].parsed.subject
    if presented.holder is not None:
        assert shown == credentials[connection.presents].parsed


def test_aggregation(subject: Subject, credentials: Mapping[str, Credential]) -> None:
    """Servers of the aggregation layer have a CA of their own, which the APIService names."""
    authority = CertificateAuthority("aggregated")
    faces = {
        "of another authority": credentials["kube-apiserver"],
        "of another service": aggregated(subject, authority, "other"),
        RIGHT: aggregated(subject, authority),
    }
    with api_client(subject, "admin", subject.context.endpoint) as admin:
        address = aggregate(subject, admin, authority.pem)
    with Impostor(address, faces, subject.authorities[Authority.FRONT_PROXY]) as impostor:
        impostor.wait(DEADLINE_SECONDS)
    assert impostor.refused.keys() == faces.keys() - {RIGHT}
    assert x509.load_der_x509_certificate(impostor.accepted[RIGHT]) == credentials["front-proxy-client"].parsed


async def _faces(
    subject: Subject, credentials: Mapping[str, Credential], connection: Connection
) -> dict[str, Credential]:
    """Return the certificate that a client must take, at last, and before it those with one thing wrong."""
    expected = CERTIFICATES[connection.expects]
    other = "kube-apiserver" if expected.authority is Authority.ETCD else "etcd-server"
    host, _ = impostor_host(connection)
    machine, other_machine = (_at(subject, name, host) for name in (connection.expects, other))
    expired = subject.signer.issue(connection.expects, machine, ttl_seconds=1)
    await over(expired)
    return {
        "of another machine": credentials[connection.expects],
        "of another cluster": subject.foreign_signer.issue(connection.expects, machine),
        "of another authority": subject.signer.issue(other, other_machine),
        "for clients": credentials[connection.presents],
        "expired": expired,
        RIGHT: subject.signer.issue(connection.expects, machine),
    }


def _at(subject: Subject, name: str, host: int) -> MachinePlan:
    """Return a machine at a host number that may hold a kind of certificate."""
    on_node = CERTIFICATES[name].holder is MachineRole.NODE
    return (subject.node if on_node else subject.control_plane).model_copy(update={"host": host})
