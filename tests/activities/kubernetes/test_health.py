"""What a guest's API tells about its cluster, and what is told when it doesn't."""

from datetime import UTC, datetime

import pytest

from activities.kubernetes.health import GuestHealth
from contracts.reporting import ApiHealth
from tests.activities.kubernetes.test_readiness import await_unready
from tests.support.guest import GuestCluster


@pytest.fixture
def health(guest: GuestCluster) -> GuestHealth:
    return GuestHealth(guest.identities)


@pytest.mark.usefixtures("nodes")
def test_a_cluster_that_is_well(guest: GuestCluster, health: GuestHealth) -> None:
    seen = health.look(guest.context)
    assert seen.available
    assert seen.control_plane == ["control-plane-1"]
    assert seen.nodes == sorted(machine.name for machine in guest.nodes)
    assert seen.certificate_expires_at is not None
    assert seen.certificate_expires_at > datetime.now(UTC)
    assert health.look(guest.context) == seen


@pytest.mark.usefixtures("admin")
def test_an_api_without_its_etcd(guest: GuestCluster, health: GuestHealth) -> None:
    with guest.hanging("control-plane-1/etcd"), guest.client("super-admin") as client:
        await_unready(client)
        seen = health.look(guest.context)
    assert not seen.available
    assert "/readyz" in seen.message
    assert seen.control_plane == seen.nodes == []


def test_an_api_that_is_away(guest: GuestCluster, health: GuestHealth) -> None:
    seen = health.look(guest.context.model_copy(update={"endpoint_host": 99}))
    assert not seen.available
    assert "no answer" in seen.message
    assert seen.control_plane == ["control-plane-1"]
    assert isinstance(seen, ApiHealth)
