"""Waiting for the API, and saying what is wrong with it."""

import threading
import time
from dataclasses import replace

import pytest
from temporalio.exceptions import CancelledError

from activities.kubernetes import GuestActivities
from activities.kubernetes.client import KubernetesClient
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.guest import GuestRequest
from contracts.machines import MachinePlan
from tests.activities.kubernetes.running import environment, refusal, run
from tests.support.guest import GuestCluster, Identity, TestIdentities

NOBODY_HOST = 99


@pytest.fixture
def away(guest: GuestCluster) -> GuestRequest:
    """A cluster at an address where nobody listens."""
    return GuestRequest(cluster=guest.context.model_copy(update={"endpoint_host": NOBODY_HOST}))


def test_a_ready_api_is_reported(activities: GuestActivities, control_plane: GuestRequest) -> None:
    assert control_plane.cluster.endpoint in run(activities.await_api, control_plane)


def test_an_api_that_is_away_is_named_with_the_reason(activities: GuestActivities, away: GuestRequest) -> None:
    code, message = refusal(activities.await_api, away)
    assert code is ErrorCode.API_NOT_READY
    assert f"{away.cluster.endpoint}/readyz: no answer (Connection refused)" in message


def test_each_control_plane_machine_must_be_ready(
    activities: GuestActivities, control_plane: GuestRequest, guest: GuestCluster
) -> None:
    missing = MachinePlan(name="control-plane-2", role=guest.slots[0].role, host=NOBODY_HOST)
    request = control_plane.model_copy(update={"machines": [*guest.slots, missing]})
    code, message = refusal(activities.await_api, request)
    assert code is ErrorCode.API_NOT_READY
    assert guest.context.address(NOBODY_HOST) in message
    assert guest.context.endpoint not in message


def await_unready(client: KubernetesClient) -> None:
    """Return when /readyz fails: checks are remembered for a while."""
    deadline = time.monotonic() + 20
    while client.ask("GET", "/readyz").status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_failing_checks_are_named(
    activities: GuestActivities, control_plane: GuestRequest, guest: GuestCluster, super_admin: KubernetesClient
) -> None:
    with guest.hanging("control-plane-1/etcd"):
        await_unready(super_admin)
        code, message = refusal(activities.await_api, control_plane, seconds=1)
    assert code is ErrorCode.API_NOT_READY
    assert "failing checks: etcd" in message
    run(activities.await_api, control_plane)


def test_a_server_of_another_ca_is_refused_at_once(control_plane: GuestRequest) -> None:
    code, message = refusal(GuestActivities(TestIdentities()).await_api, control_plane, seconds=60)
    assert code is ErrorCode.API_DENIED
    assert "not of the cluster's CA" in message


class Strangers(TestIdentities):
    """Trusts the cluster's CA, but has its certificates from another."""

    def __init__(self, guest: GuestCluster) -> None:
        super().__init__()
        self._guest = guest.identities

    def client_certificate(self, cluster: ClusterContext, name: str, ttl_seconds: int) -> Identity:
        trusted = self._guest.client_certificate(cluster, name, ttl_seconds).ca_pem
        return replace(super().client_certificate(cluster, name, ttl_seconds), ca_pem=trusted)


def test_a_certificate_of_another_ca_is_not_accepted(guest: GuestCluster, control_plane: GuestRequest) -> None:
    code, message = refusal(GuestActivities(Strangers(guest)).await_api, control_plane, seconds=60)
    assert code is ErrorCode.API_DENIED
    assert "does not accept our certificate" in message


def test_waiting_ends_when_it_is_cancelled(activities: GuestActivities, away: GuestRequest) -> None:
    surroundings = environment(60)
    threading.Timer(0.3, surroundings.cancel).start()
    with pytest.raises(CancelledError):
        surroundings.run(activities.await_api, away)
