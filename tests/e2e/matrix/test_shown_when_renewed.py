"""What an API server shows those whom it calls, before and after a rotation: nobody else can tell."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from contracts.certificates import CERTIFICATES
from contracts.vault import Authority
from deploy.docs.access import CONNECTIONS, Connection
from tests.chaos import living
from tests.e2e.matrix.credentials import held
from tests.e2e.matrix.impostor import Impostor
from tests.e2e.matrix.strays import Call, EndedError, aggregate, aggregated, api_client, calling, impostor_host
from tests.e2e.matrix.subject import Subject
from tests.support.clusters import Handle, rotate
from tests.support.guest import CertificateAuthority

pytestmark = pytest.mark.timeout(240)

DEADLINE_SECONDS = 90
"""A server of an API group is asked for again within half a minute."""

OWN = [each for each in CONNECTIONS if each.client == "kube-apiserver"]


async def rotated(subject: Subject, handle: Handle) -> None:
    """Rotate the cluster's certificates; nothing of it is restarted."""
    running = living.pids(subject.stack, subject.context.cluster_id)
    found = await rotate(handle)
    assert found.recent_operations[-1].outcome == "Succeeded"
    assert living.pids(subject.stack, subject.context.cluster_id) == running


def shown(impostor: Impostor, call: Call) -> x509.Certificate:
    """Return what is presented to an impostor that is trusted."""
    with impostor:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not impostor.wait(0.05) and time.monotonic() < deadline:
            call()
    assert impostor.accepted.keys() == {"right"}, impostor.refused
    return x509.load_der_x509_certificate(impostor.accepted["right"])


async def shows_its_new_one(
    subject: Subject, handle: Handle, name: str, ask: Callable[[], x509.Certificate]
) -> None:
    """See that what the control plane machine holds is presented, before and after it is renewed."""
    folder, seen = subject.folder(subject.control_plane), []
    for rotations in range(2):
        if rotations:
            await rotated(subject, handle)
        seen.append(await asyncio.to_thread(ask))
        assert seen[-1] == held(folder)[name].parsed
    assert seen[0] != seen[1]


@pytest.mark.parametrize("connection", OWN, ids=lambda item: f"{item.client}-to-{item.server}")
# A stray API server runs for 20 s without an etcd, which a rotation on a busy machine may outlast.
@retry(retry=retry_if_exception_type(EndedError), stop=stop_after_attempt(3), reraise=True)
async def test_whom_it_calls_is_shown_the_new_one(
    subject: Subject, handle: Handle, connection: Connection, tmp_path: Path
) -> None:
    host, port = impostor_host(connection)
    machine = subject.node if connection.server == "kubelet" else subject.control_plane
    face = subject.signer.issue(connection.expects, machine.model_copy(update={"host": host}))
    authority = subject.authorities[CERTIFICATES[connection.presents].authority]
    with calling(subject, connection, tmp_path) as call:

        def ask() -> x509.Certificate:
            return shown(Impostor((subject.context.address(host), port), {"right": face}, authority), call)

        await shows_its_new_one(subject, handle, connection.presents, ask)


async def test_servers_of_api_groups_are_shown_the_new_one(subject: Subject, handle: Handle) -> None:
    authority = CertificateAuthority("renewed")
    face = {"right": aggregated(subject, authority)}
    with api_client(subject, "admin", subject.context.endpoint) as admin:
        address = aggregate(subject, admin, authority.pem)

    def ask() -> x509.Certificate:
        return shown(Impostor(address, face, subject.authorities[Authority.FRONT_PROXY]), lambda: None)

    await shows_its_new_one(subject, handle, "front-proxy-client", ask)
