"""A whole cluster through the local provider: real services, real power cuts."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from contracts.machines import MachineState
from deploy.stack import supervisord
from nodes.machine.processes import find_marked
from planning.releases import load_releases
from tests.activities.local.running import is_ready, items, node_names, start
from tests.contract.clusters import RELEASE, TestCluster, wait_for
from tests.contract.rooms import LocalRoom, new_cluster

OPTIONS = {
    "feature_gates": {"MutatingAdmissionPolicy": True},
    "oidc": {"issuer_url": "https://127.0.0.1:1/nobody", "client_id": "kubernetes"},
    "audit": {"level": "Request"},
}


@pytest.fixture
def cluster(room: LocalRoom) -> Iterator[TestCluster]:
    with new_cluster(room, node_pools=[{"name": "workers"}], api_server=OPTIONS) as made:
        start(room.provider(), made)
        wait_for(lambda: is_ready(made), "the API")
        wait_for(lambda: node_names(made) == {"workers-1"}, "the node")
        yield made


def test_a_power_cut_and_then_the_end(room: LocalRoom, cluster: TestCluster) -> None:
    before = [item["metadata"]["uid"] for item in items(cluster, "/api/v1/namespaces")]
    for process in supervisord.marked(room.stack):
        process.kill()
    wait_for(lambda: not find_marked(room.stack.state), "all processes to end")
    assert not is_ready(cluster)

    supervisord.start(room.stack, print)
    wait_for(lambda: is_ready(cluster), "the API after the power cut")
    assert [item["metadata"]["uid"] for item in items(cluster, "/api/v1/namespaces")] == before
    assert node_names(cluster) == {"workers-1"}
    provider = room.provider()
    for machine in (*cluster.slots, *cluster.nodes):
        cluster.await_state(provider, machine, MachineState.UP)

    provider.delete_all(cluster.id)
    assert provider.list_left() == []
    assert not find_marked(room.stack.state)
    assert not list((room.stack.state / "machines").iterdir())
    assert not list((room.stack.state / "volumes").iterdir())
    assert not list(room.stack.machines.iterdir())


@pytest.mark.timeout(900)  # binaries of a release are built when nobody has done so before
@pytest.mark.parametrize("release", sorted(set(load_releases()) - {RELEASE}))
def test_other_releases_come_up_too(shared_room: LocalRoom, release: str) -> None:
    with new_cluster(shared_room, release=release, node_pools=[{"name": "workers"}]) as other:
        start(shared_room.provider(), other)
        wait_for(lambda: is_ready(other), "the API")
        wait_for(lambda: node_names(other) == {"workers-1"}, "the node")
        [node] = items(other, "/api/v1/nodes")
        assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{release.partition('-')[0]}"


def test_a_supervisor_that_dies_alone(room: LocalRoom, cluster: TestCluster) -> None:
    """What it leaves running holds ports until its next line of log, or the machine's next boot, ends it."""
    left = {process.pid for _, process in find_marked(room.stack.state)}
    psutil.Process(supervisord.connect(room.stack).pid()).kill()
    wait_for(lambda: supervisord.pid(room.stack) is None, "the supervisor to end")

    configuration = str(supervisord.config_file(room.stack))
    subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", configuration], check=True, cwd=room.stack.state
    )
    provider = room.provider()
    wait_for(lambda: not left & {process.pid for _, process in find_marked(room.stack.state)}, "the old to end")
    wait_for(lambda: is_ready(cluster), "the API")
    for machine in (*cluster.slots, *cluster.nodes):
        cluster.await_state(provider, machine, MachineState.UP)
