"""A worker that is killed at any line of a call: the call is done again, and nothing exists twice or is left."""

import pytest

from activities.local import assembly, power, provider
from contracts.machines import MachineState
from nodes.machine import store
from tests.contract.clusters import TestCluster
from tests.contract.cutting import cuts
from tests.contract.rooms import LocalRoom, new_cluster
from tests.support.guest import claimed_network

CODE = [provider, assembly, power, store]


@pytest.mark.timeout(240)
def test_while_it_makes_a_machine(shared_room: LocalRoom) -> None:
    with new_cluster(shared_room) as cluster:
        node, local = cluster.nodes[0], shared_room.provider()
        started = cuts(
            lambda: cluster.ensure(shared_room.provider(), node),
            CODE,
            lambda: local.delete_machine(cluster.id, node.name),
        )
        for lines in started:
            before = local.observe_machine(cluster.id, node.name)
            facts = cluster.ensure(local, node)
            assert facts.created == (before.state is MachineState.ABSENT), lines
            assert before.instance_id in {"", facts.instance_id}, lines
            assert local.observe_machine(cluster.id, node.name).state in {MachineState.BOOTING, MachineState.UP}
        cluster.boot(local, node)


@pytest.mark.timeout(240)
def test_while_it_deletes_a_cluster(shared_room: LocalRoom) -> None:
    clusters: list[TestCluster] = []
    with claimed_network() as network:

        def boot_another() -> None:
            clusters.append(TestCluster("local", network))
            clusters[-1].ensure(shared_room.provider(), clusters[-1].nodes[0])

        def delete() -> None:
            shared_room.provider().delete_all(clusters[-1].id)

        for lines in cuts(delete, CODE, boot_another):
            delete()
            assert not shared_room.provider().list_left(clusters[-1].id), lines
    assert not shared_room.provider().list_left()
