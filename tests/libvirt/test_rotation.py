"""Certificates of real virtual machines, renewed while their cluster is used."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest
import yaml

from activities.kubernetes.identity import server_tls
from contracts.workflows import Accepted, CertificatesAnswer
from deploy.stack import Stack
from nodes.ignition import LAYOUT
from nodes.v1.etcd import CLIENT_PORT
from nodes.v1.kubelet import KUBELET_PORT
from tests.bench.clients import Clients, Endpoint
from tests.e2e.people import G8S, internal_address, ready_nodes
from tests.libvirt.guests import Guest, hypervisor_settings, in_a_room
from tests.libvirt.machines import MACHINES
from tests.libvirt.pods import Pods
from tests.support.clusters import rotate
from tests.support.stack import say

pytestmark = in_a_room
CLIENTS_SECONDS = 900
SHARING = {"kubelet", "kube-proxy", "flannel", "calico-felix"}
"""Programs of a node that show the API the same certificate."""

HANDSHAKE_S = 60
"""An emulated kubelet at times takes more than ten seconds for one."""

ROTATIONS = 3
RATE = 0.5
"""Requests a second: with 4 an emulated machine has no time left to make keys."""


@pytest.fixture(scope="module")
def pods(guest: Guest) -> Pods:
    return Pods(guest.cluster_id, guest.hypervisor, guest.places)


async def known(guest: Guest) -> CertificatesAnswer:
    answer: CertificatesAnswer = await guest.handle.query("certificates", result_type=CertificatesAnswer)
    return answer


def started(pods: Pods, machine: str) -> str:
    """Return when each service of a machine that runs was started."""
    listed = "systemctl list-units --type=service --state=running --plain --no-legend | cut -d' ' -f1"
    return pods.on_machine(machine, f"systemctl show --property=Id,ExecMainStartTimestampMonotonic $({listed})")


def endpoints(guest: Guest, pods: Pods, api: ssl.SSLContext) -> Iterator[Endpoint]:
    """Yield etcd, which ends a connection without a certificate only after the handshake, and each kubelet."""
    etcd = server_tls(pods.on_machine(MACHINES[0], f"cat {LAYOUT.certificate('etcd-ca')}"))
    addresses = {name: internal_address(node) for name, node in ready_nodes(guest.kubeconfig).items()}
    yield (addresses[MACHINES[0]], CLIENT_PORT), etcd
    for address in addresses.values():
        yield (address, KUBELET_PORT), api


async def test_all_are_renewed_again_and_again_and_no_client_notices(guest: Guest, pods: Pods) -> None:
    before, running = await known(guest), {machine: started(pods, machine) for machine in MACHINES}
    with Clients(guest.kubeconfig, partial(endpoints, guest, pods), RATE, HANDSHAKE_S) as clients:
        for _ in range(ROTATIONS):
            began = time.monotonic()
            found = await rotate(guest.handle)
            took = time.monotonic() - began
            say(f"certificates of {len(MACHINES)} virtual machines were renewed in {took:.1f} s; {clients}")
            assert (found.recent_operations[-1].outcome, found.unrenewed) == ("Succeeded", {})
    failed = (clients.failed_requests, clients.failed_handshakes, clients.watch_breaks)
    assert failed == (0, 0, 0), clients.failures
    after = await known(guest)
    for machine, certificates in before.issued.items():
        for name, issued in certificates.items():
            assert after.issued[machine][name].serial != issued.serial
    assert {machine: started(pods, machine) for machine in MACHINES} == running
    assert sorted(ready_nodes(guest.kubeconfig)) == MACHINES


async def test_clients_are_seen_with_their_new_certificates(guest: Guest, pods: Pods) -> None:
    began = time.monotonic()
    while (waiting := (await known(guest)).awaited) and time.monotonic() - began < CLIENTS_SECONDS:
        await guest.handle.execute_update("retry", {"reason": "look"}, result_type=Accepted)
        await asyncio.sleep(10)
    assert waiting == []
    say(f"all clients were seen with their new certificates {time.monotonic() - began:.0f} s later")
    issued = (await known(guest)).issued
    for machine in MACHINES:
        credential = issued[machine]["kubelet-client"].credential
        while (
            missing := SHARING - (seen := programs(pods, credential))
        ) and time.monotonic() - began < CLIENTS_SECONDS:
            await asyncio.sleep(10)
        say(f"{machine}'s was used by {', '.join(sorted(seen))} {time.monotonic() - began:.0f} s later")
        assert missing == set()


def programs(pods: Pods, credential: str) -> set[str]:
    """Return which programs the API's audit log has with a credential."""
    found = f"grep -hF '{credential}' {LAYOUT.logs}/audit.log | grep -o '\"userAgent\":\"[^/\" ]*' | sort -u"
    return {line.rpartition('"')[2] for line in pods.on_machine(MACHINES[0], found).splitlines()}


@pytest.mark.parametrize("off", ["1 hour", "1 hour ago"], ids=["ahead", "behind"])
async def test_a_machine_whose_clock_is_an_hour_off_is_renewed(guest: Guest, pods: Pods, off: str) -> None:
    machine, before = MACHINES[-1], await known(guest)
    pods.on_machine(machine, f"systemctl stop chrony; date --set='{off}'")
    try:
        found = await rotate(guest.handle)
        there = int(pods.on_machine(machine, "date +%s"))
    finally:
        pods.on_machine(machine, f"date --set=@{time.time():.0f}; systemctl start chrony")
    assert (found.recent_operations[-1].outcome, found.unrenewed) == ("Succeeded", {})
    assert abs(there - time.time()) < 60
    after = await known(guest)
    for name, issued in before.issued[machine].items():
        assert after.issued[machine][name].serial != issued.serial
    guest.until(lambda: sorted(ready_nodes(guest.kubeconfig)) == MACHINES, "all nodes are Ready")


def api_certificate(guest: Guest) -> str:
    """Return what the API server shows, PEM."""
    url = yaml.safe_load(guest.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return ssl.get_server_certificate((urlsplit(url).hostname or "", urlsplit(url).port or 0), timeout=60)


async def test_a_rescue_on_their_hypervisor_renews_them_without_a_workflow(
    guest: Guest, stack: Stack, pods: Pods
) -> None:
    before, running = api_certificate(guest), {machine: started(pods, machine) for machine in MACHINES}
    process = await asyncio.create_subprocess_exec(
        *(G8S, "rescue", guest.handle.id),
        env=hypervisor_settings(stack),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert f"{len(MACHINES)} of {len(MACHINES)} machines were renewed" in told.decode()
    assert api_certificate(guest) != before
    assert {machine: started(pods, machine) for machine in MACHINES} == running
    assert sorted(ready_nodes(guest.kubeconfig)) == MACHINES
