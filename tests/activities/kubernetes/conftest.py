"""One real guest cluster for the session; each fixture brings it one step further."""

import time
from collections.abc import Iterator

import pytest

from activities.kubernetes import GuestActivities
from activities.kubernetes.client import KubernetesClient
from contracts.context import ClusterContext
from contracts.guest import GuestRequest
from tests.activities.kubernetes.golden import cluster_nowhere
from tests.activities.kubernetes.running import run
from tests.support.guest import GuestCluster, claimed_network

CONTROLLERS_SECONDS = 30
POOLS = [
    {"name": "workers", "replicas": 2, "labels": {"tier": "front"}},
    {"name": "batch", "taints": [{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}]},
]


@pytest.fixture
def nowhere() -> ClusterContext:
    """A cluster that does not exist."""
    return cluster_nowhere()


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestCluster]:
    """A control plane whose API is ready, and nothing more."""
    with claimed_network() as network:
        cluster = GuestCluster(tmp_path_factory.mktemp("guest"), network, nodePools=POOLS)
        try:
            cluster.start_control_plane()
            yield cluster
        finally:
            cluster.stop_all()


@pytest.fixture(scope="session")
def activities(guest: GuestCluster) -> GuestActivities:
    """Our activities, with certificates of the cluster's CAs."""
    return GuestActivities(guest.identities)


@pytest.fixture(scope="session")
def control_plane(guest: GuestCluster) -> GuestRequest:
    """A request about the control plane machine."""
    return GuestRequest(cluster=guest.context, machines=guest.slots)


@pytest.fixture(scope="session")
def super_admin(guest: GuestCluster) -> Iterator[KubernetesClient]:
    """A client that is always let in."""
    with guest.client("super-admin") as client:
        yield client


@pytest.fixture(scope="session")
def admin(
    guest: GuestCluster, activities: GuestActivities, control_plane: GuestRequest
) -> Iterator[KubernetesClient]:
    """A client as our activities have it, after their group was bound."""
    run(activities.ensure_access, control_plane)
    with guest.client("admin") as client:
        yield client


@pytest.fixture(scope="session")
def nodes(guest: GuestCluster, activities: GuestActivities, admin: KubernetesClient) -> None:
    """All nodes, Ready, and a controller manager whose controllers have all started."""
    guest.start_nodes(guest.nodes)
    run(activities.await_nodes, GuestRequest(cluster=guest.context, machines=guest.nodes))
    deadline = time.monotonic() + CONTROLLERS_SECONDS
    while admin.ask("GET", "/api/v1/namespaces/default/serviceaccounts/default").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
