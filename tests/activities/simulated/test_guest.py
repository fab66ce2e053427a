"""Steps on guest clusters that exist in the world alone."""

import pytest
from temporalio.testing import ActivityEnvironment

from activities.simulated.guest import SimulatedGuest, simulated_guest_activities
from activities.simulated.provider import SimulatedProvider
from api.errors import ErrorCode
from contracts import activities as names
from contracts.errors import StepError
from contracts.guest import GuestRequest
from contracts.machines import MachinePlan
from tests.contract.clusters import TestCluster
from tests.contract.rooms import SimulatedRoom


@pytest.fixture
def guest(provider: SimulatedProvider) -> SimulatedGuest:
    return SimulatedGuest(provider.world)


def asking(cluster: TestCluster, machines: list[MachinePlan]) -> GuestRequest:
    return GuestRequest(cluster=cluster.context, machines=machines)


def test_the_queue_gets_every_guest_activity(provider: SimulatedProvider) -> None:
    found = {getattr(run, "__temporal_activity_definition").name for run in simulated_guest_activities(provider)}
    assert found == {
        names.AWAIT_API,
        names.ENSURE_ACCESS,
        names.ENSURE_ADDONS,
        names.AWAIT_NODES,
        names.VERIFY_CLUSTER,
        names.VERIFY_SERVING,
        names.DRAIN_NODE,
        names.UNCORDON_NODE,
    }


def test_the_api_is_ready_when_all_slots_have_what_they_need(
    provider: SimulatedProvider, cluster: TestCluster, guest: SimulatedGuest
) -> None:
    with pytest.raises(StepError) as raised:
        guest.await_api(asking(cluster, cluster.slots))
    assert raised.value.code is ErrorCode.API_NOT_READY
    for slot in cluster.slots:
        cluster.boot(provider, slot)
    with pytest.raises(StepError, match="has no certificates"):
        guest.await_api(asking(cluster, cluster.slots))
    for slot in cluster.slots:
        cluster.certify(provider, slot)
    ActivityEnvironment().run(guest.await_api, asking(cluster, cluster.slots))


def test_a_cluster_is_verified_when_everything_was_made_once(
    provider: SimulatedProvider, cluster: TestCluster, guest: SimulatedGuest
) -> None:
    for machine in (*cluster.slots, *cluster.nodes):
        cluster.certify(provider, machine)
    with pytest.raises(StepError) as raised:
        guest.verify_cluster(asking(cluster, cluster.slots))
    assert raised.value.code is ErrorCode.VERIFICATION_FAILED
    for _ in range(2):
        guest.ensure_access(asking(cluster, cluster.slots))
        guest.ensure_addons(asking(cluster, cluster.slots))
        guest.await_nodes(asking(cluster, cluster.nodes))
    guest.verify_cluster(asking(cluster, cluster.slots))
    made = [row["name"] for row in provider.world.journal(cluster.id) if row["kind"] == "object"]
    assert made == ["access", "coredns", "kube-proxy", "node/workers-1", "node/workers-2"]


def test_nodes_that_are_off_are_not_ready(
    provider: SimulatedProvider, cluster: TestCluster, guest: SimulatedGuest
) -> None:
    cluster.certify(provider, cluster.nodes[0])
    provider.fence_machine(cluster.id, cluster.nodes[0].name)
    with pytest.raises(StepError) as raised:
        guest.await_nodes(asking(cluster, cluster.nodes))
    assert raised.value.code is ErrorCode.NODES_NOT_READY


def test_faults_work_on_guests_too(
    room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster, guest: SimulatedGuest
) -> None:
    for slot in cluster.slots:
        cluster.certify(provider, slot)
    room.faults.fail(names.AWAIT_API)
    with pytest.raises(StepError) as raised:
        guest.await_api(asking(cluster, cluster.slots))
    assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    guest.await_api(asking(cluster, cluster.slots))


def test_health_is_that_of_the_machines(
    provider: SimulatedProvider, cluster: TestCluster, guest: SimulatedGuest
) -> None:
    assert not guest.look(cluster.context).available
    for machine in (cluster.slots[0], cluster.nodes[0]):
        cluster.boot(provider, machine)
        cluster.certify(provider, machine)
    seen = guest.look(cluster.context)
    assert (seen.available, seen.control_plane, seen.nodes) == (
        True,
        [cluster.slots[0].name],
        [cluster.nodes[0].name],
    )
    provider.fence_machine(cluster.context.cluster_id, cluster.slots[0].name)
    assert not guest.look(cluster.context).available
