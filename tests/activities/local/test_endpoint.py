"""Three control plane machines behind one address."""

import pytest
import yaml

from activities.local.endpoint import endpoint_files
from tests.activities.local.running import is_ready, items, start
from tests.contract.clusters import TestCluster, wait_for
from tests.contract.rooms import LocalRoom, new_cluster

THREE: dict[str, object] = {"control_plane": {"replicas": 3}, "node_pools": []}


def test_traefik_calls_nobody_and_shows_nothing(shared_room: LocalRoom) -> None:
    cluster = TestCluster("local", "127.64.9.0/24", **THREE)
    files = endpoint_files(shared_room.stack.state, cluster.context, cluster.slots)
    static = yaml.safe_load(files["traefik.yaml"])
    assert static["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}
    assert static["entryPoints"] == {"kubernetes": {"address": "127.64.9.10:6443"}}
    assert not {"api", "ping", "metrics", "tracing"} & set(static)


@pytest.mark.timeout(180)
def test_the_api_answers_while_one_of_three_machines_is_off(shared_room: LocalRoom) -> None:
    provider = shared_room.provider()
    with new_cluster(shared_room, **THREE) as cluster:
        start(provider, cluster)
        wait_for(lambda: is_ready(cluster), "the API at the endpoint", 120)
        urls = [f"https://{cluster.context.address(slot.host)}:6443" for slot in cluster.slots]
        wait_for(lambda: all(is_ready(cluster, url) for url in urls), "the API on each machine", 120)
        provider.fence_machine(cluster.id, cluster.slots[0].name)
        wait_for(lambda: all(is_ready(cluster) for _ in range(6)), "the API without one of three", 30)
        assert items(cluster, "/api/v1/namespaces")
        cluster.ensure(provider, cluster.slots[0])
        wait_for(lambda: is_ready(cluster, urls[0]), "the API on the machine that came back", 60)
