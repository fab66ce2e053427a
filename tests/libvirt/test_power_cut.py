"""A power cut: machines come back with their hypervisor, with Temporal and OpenBao down, and as they were made."""

import asyncio

from api.status import Phase
from deploy.stack import Stack, supervisord, up
from tests.e2e.people import ready_nodes
from tests.libvirt.guests import Guest, firewall, in_a_room, links
from tests.libvirt.machines import MACHINES
from tests.libvirt.pods import Pods
from tests.libvirt.reboot import reboot
from tests.support.clusters import status
from tests.support.stack import say

pytestmark = in_a_room
SERVICES = ("temporal", "openbao")


async def test_machines_come_back_by_themselves(guest: Guest, stack: Stack) -> None:
    pods = Pods(guest.cluster_id, guest.hypervisor, guest.places)
    guest.kubectl("create", "configmap", "kept", "--from-literal=day=before")
    for machine in MACHINES:
        pods.on_machine(machine, "touch /etc/by-hand /usr/bin/by-hand /root/by-hand")
    supervisord.connect(stack).stop_groups(SERVICES, kill=True)
    bridge = guest.places.bridge(guest.cluster_id)
    await asyncio.to_thread(reboot, guest.places.folder)
    assert 'iifname "g8s*" drop' in await asyncio.to_thread(firewall)
    await asyncio.to_thread(guest.until, lambda: links("bridge") == [bridge], "the network is there")
    assert len(guest.hypervisor.domains()) == len(MACHINES)

    def kept() -> bool:
        return "before" in guest.kubectl("get", "configmap", "kept", "--output", "yaml", ok=None)

    await asyncio.to_thread(guest.until, kept, "the API is back with what was written")
    await asyncio.to_thread(
        guest.until, lambda: len(ready_nodes(guest.kubeconfig)) == len(MACHINES), "all nodes are Ready"
    )
    for machine in MACHINES:
        assert pods.on_machine(machine, "ls /etc/by-hand /usr/bin/by-hand /root/by-hand 2>/dev/null || true") == ""
    await asyncio.to_thread(up, say, SERVICES)
    assert (await status(guest.handle)).phase == Phase.RUNNING
