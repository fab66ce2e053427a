"""Virtual machines that are repaired, and replaced on the volume of their slot."""

import asyncio
import time

from api.status import ClusterStatus
from contracts.workflows import Accepted
from nodes.ignition import LAYOUT
from tests.e2e.people import ready_nodes
from tests.libvirt.guests import Guest, in_a_room
from tests.libvirt.machines import MACHINES
from tests.libvirt.pods import Pods
from tests.support.clusters import status

pytestmark = in_a_room
SLOT = "control-plane-1"


async def ended(guest: Guest, update: str, **argument: str) -> ClusterStatus:
    """Send an update, wait for the end of the operation that follows, and say how long it took."""
    began = time.monotonic()
    before = len((await status(guest.handle)).recent_operations)
    await guest.handle.execute_update(update, argument, result_type=Accepted)
    while len((found := await status(guest.handle)).recent_operations) == before:
        await asyncio.sleep(1)
    last = found.recent_operations[-1]
    print(f"{last.type} {last.outcome} in {time.monotonic() - began:.1f} s {last.message}")  # noqa: T201
    return found


def uuid(guest: Guest) -> str:
    domain = guest.hypervisor.domain(guest.places.domain(guest.cluster_id, SLOT))
    assert domain is not None
    return str(domain.UUIDString())


async def test_a_machine_that_was_destroyed_by_hand_is_switched_on(guest: Guest) -> None:
    before = uuid(guest)
    domain = guest.hypervisor.domain(guest.places.domain(guest.cluster_id, SLOT))
    assert domain is not None
    domain.destroy()
    found = await ended(guest, "retry")
    assert (found.recent_operations[-1].type, found.recent_operations[-1].outcome) == (
        "RepairMachine",
        "Succeeded",
    )
    assert uuid(guest) == before
    assert set(ready_nodes(guest.kubeconfig)) == set(MACHINES)


async def test_a_control_plane_machine_is_replaced_on_its_volume(guest: Guest) -> None:
    pods = Pods(guest.cluster_id, guest.hypervisor, guest.places)
    before, volumes = uuid(guest), guest.hypervisor.volume_names()
    guest.kubectl("create", "configmap", "handed-on", "--from-literal=day=before")
    pods.on_machine(SLOT, f"touch /etc/by-hand {LAYOUT.state}/by-hand")
    found = await ended(guest, "replace_machine", machine=SLOT)
    assert (found.recent_operations[-1].type, found.recent_operations[-1].outcome) == (
        "ReplaceMachine",
        "Succeeded",
    )
    assert uuid(guest) != before
    assert guest.hypervisor.domain_with(before) is None
    assert guest.hypervisor.volume_names() == volumes
    assert "before" in guest.kubectl("get", "configmap", "handed-on", "--output", "yaml")
    assert pods.on_machine(SLOT, f"ls /etc/by-hand {LAYOUT.state}/by-hand 2>/dev/null || true") == ""
    node = ready_nodes(guest.kubeconfig)[SLOT]
    assert not node["spec"].get("unschedulable")
    guest.wait_for_pods("--all", "--namespace", "kube-system")
