"""The API's address of three virtual machines, which outlasts any one of them.

Only what the address is for runs on them: etcd, API servers and keepalived. Two processors that emulate three
machines don't bring up the rest before leases run out.
"""

import time
from contextlib import suppress

from contracts.errors import StepError
from contracts.machines import MachinePlan, MachineState
from tests.contract.clusters import TestCluster
from tests.contract.rooms import new_cluster
from tests.libvirt.guests import in_a_room
from tests.support.stack import say

pytestmark = in_a_room
THREE = {"replicas": 3, "machine": {"cpus": 1, "memory_mib": 2048}}
SPARED = "kubelet containerd flannel felix kube-proxy kube-controller-manager kube-scheduler"
READY_SECONDS = 600
AWAY_SECONDS = 60
"""Longest that the API may be away when a machine ends: 4 s where processors are not emulated."""
NAMESPACE = "/api/v1/namespaces/default"


def test_the_address_outlasts_any_one_of_three_machines() -> None:
    from tests.libvirt.rooms import LibvirtRoom, libvirt_room  # noqa: PLC0415 - the package libvirt is an extra

    def spare(room: LibvirtRoom, cluster: TestCluster, slot: MachinePlan) -> None:
        room.run(cluster, slot.name, f"systemctl --no-block stop {SPARED}")

    def holders(room: LibvirtRoom, cluster: TestCluster) -> list[MachinePlan]:
        shown = {slot.name: room.run(cluster, slot.name, "ip -brief address show eth0") for slot in cluster.slots}
        return [slot for slot in cluster.slots if f"{cluster.context.address(10)}/32" in shown[slot.name]]

    with libvirt_room() as room, new_cluster(room, control_plane=THREE, node_pools=[]) as cluster:
        for slot in cluster.slots:
            cluster.ensure(room.provider(), slot)
        for slot in cluster.slots:
            cluster.certify(room.provider(), slot)
            spare(room, cluster, slot)
        say(f"ready at {cluster.context.endpoint} after {takes_changes(cluster, READY_SECONDS):.1f} s")
        for _ in range(2):
            [holder] = holders(room, cluster)
            room.provider().fence_machine(cluster.id, holder.name)
            away = takes_changes(cluster, AWAY_SECONDS, f"without {holder.name}")
            say(f"{holder.name} had the address and ended; the API took a change {away:.1f} s later")
            cluster.ensure(room.provider(), holder)
            cluster.await_state(room.provider(), holder, MachineState.UP)
            spare(room, cluster, holder)
            takes_changes(cluster, READY_SECONDS, "by all", holder)
            assert holder not in holders(room, cluster), "it took the address from one that works"


def takes_changes(
    cluster: TestCluster, seconds: float, change: str = "", slot: MachinePlan | None = None
) -> float:
    """Wait until the API, or that of one machine, takes a change; return the seconds until then."""
    began = time.monotonic()
    metadata = {"name": "default", "annotations": {"giantnetes.io/test": change}}
    with cluster.api(slot) as api:
        while time.monotonic() - began < seconds:
            with suppress(StepError):
                api.apply(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
                return time.monotonic() - began
            time.sleep(0.5)
    raise TimeoutError(f"{slot.name if slot else 'the API'} took no change within {seconds:.0f} s")
