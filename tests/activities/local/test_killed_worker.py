"""A worker that is killed at any line of a call: the call is done again, and nothing exists twice or is left."""

import pytest

from activities.local import assembly, power, provider
from contracts.machines import MachineState
from nodes.machine import store
from tests.contract.clusters import TestCluster
from tests.contract.cutting import cuts
from tests.contract.rooms import LocalRoom, new_cluster

CODE = [provider, assembly, power, store]


def nothing() -> None:
    """Leave things as they are."""


@pytest.mark.timeout(240)
def test_while_it_makes_a_machine(shared_room: LocalRoom) -> None:
    with new_cluster(shared_room) as cluster:
        node, local = cluster.nodes[0], shared_room.provider()
        for lines in cuts(lambda: cluster.ensure(local, node), CODE, nothing):
            before = local.observe_machine(cluster.id, node.name)
            facts = cluster.ensure(local, node)
            assert facts.created == (before.state is MachineState.ABSENT), lines
            assert before.instance_id in {"", facts.instance_id}, lines
            cluster.await_state(local, node, MachineState.UP)
            assert cluster.requests(local, node).instance_id == facts.instance_id
            local.delete_machine(cluster.id, node.name)
            assert not local.list_left(cluster.id), lines


@pytest.mark.timeout(240)
def test_while_it_deletes_a_cluster(shared_room: LocalRoom) -> None:
    clusters: list[TestCluster] = []

    def boot_another() -> None:
        with new_cluster(shared_room) as network:
            pass
        clusters.append(TestCluster("local", network.context.machine_network, node_pools=[{"name": "workers"}]))
        clusters[-1].boot(shared_room.provider(), clusters[-1].nodes[0])

    def delete() -> None:
        shared_room.provider().delete_all(clusters[-1].id)

    for lines in cuts(delete, CODE, boot_another):
        delete()
        assert not shared_room.provider().list_left(clusters[-1].id), lines
    assert not shared_room.provider().list_left()
