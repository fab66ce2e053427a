"""A control plane machine of one release, and after it one of the next release on the volume of its slot."""

import time
from contextlib import suppress

from activities.kubernetes.client import KubernetesClient
from contracts.errors import StepError
from contracts.machines import MachinePlan, Provider
from tests.contract.clusters import TestCluster
from tests.contract.rooms import new_cluster
from tests.libvirt.guests import in_a_room
from tests.support.stack import say

pytestmark = in_a_room
OLD, NEW = "1.36.3-1", "1.37.2-1"
READY_SECONDS = 600
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def test_a_machine_of_the_next_release_goes_on_with_the_data_of_the_one_before() -> None:
    from tests.libvirt.rooms import libvirt_room  # noqa: PLC0415 - the package libvirt is an extra

    with libvirt_room() as room, new_cluster(room, release=OLD, node_pools=[]) as cluster:
        provider, [slot] = room.provider(), cluster.slots
        with started(cluster, provider, slot) as api:
            assert version(api) == "v1.36.3"
            api.create(CONFIG_MAPS, {"metadata": {"name": "handed-on"}, "data": {"day": "before"}})
        old = provider.observe_machine(cluster.id, slot.name).instance_id
        provider.fence_machine(cluster.id, slot.name, old)
        provider.delete_machine(cluster.id, slot.name, old)
        cluster.context = cluster.context.model_copy(
            update={"spec": cluster.spec.model_copy(update={"release": NEW})}
        )
        with started(cluster, provider, slot.model_copy(update={"has_data": True})) as api:
            assert version(api) == "v1.37.2"
            assert api.get(f"{CONFIG_MAPS}/handed-on")["data"] == {"day": "before"}
        assert provider.observe_machine(cluster.id, slot.name).instance_id != old


def started(cluster: TestCluster, provider: Provider, slot: MachinePlan) -> KubernetesClient:
    """Make a machine, give it its certificates, and return an administrator's client when its API is ready."""
    began = time.monotonic()
    cluster.certify(provider, slot)
    api = cluster.api()
    while time.monotonic() - began < READY_SECONDS:
        with suppress(StepError):
            if api.ask("GET", "/readyz").status == 200:
                say(f"{cluster.context.spec.release}: ready after {time.monotonic() - began:.1f} s")
                return api
        time.sleep(1)
    raise TimeoutError(f"the API of {cluster.context.spec.release} was not ready within {READY_SECONDS} s")


def version(api: KubernetesClient) -> str:
    return str(api.get("/version")["gitVersion"])
