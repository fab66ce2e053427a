"""Binding the groups of our certificates."""

from collections.abc import Iterator

import pytest

from activities.kubernetes import GuestActivities
from activities.kubernetes.access import BINDINGS
from activities.kubernetes.client import KubernetesClient
from api.errors import ErrorCode
from contracts.certificates import KUBELET_API_ADMINS
from contracts.guest import GuestRequest
from tests.activities.kubernetes.running import refusal, run
from tests.support.guest import GuestCluster, TestIdentities

PATH = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/"


@pytest.fixture
def unbound(
    super_admin: KubernetesClient, activities: GuestActivities, control_plane: GuestRequest
) -> Iterator[KubernetesClient]:
    """The cluster without our bindings; afterwards with them."""
    for group in BINDINGS:
        super_admin.ask("DELETE", PATH + group)
    yield super_admin
    run(activities.ensure_access, control_plane)


@pytest.fixture
def impostors(guest: GuestCluster) -> TestIdentities:
    """Identities of the cluster whose names can be given other certificates."""
    identities = TestIdentities()
    identities.authorities = guest.identities.authorities
    return identities


def test_administrators_are_let_in(
    unbound: KubernetesClient, guest: GuestCluster, activities: GuestActivities, control_plane: GuestRequest
) -> None:
    run(activities.ensure_access, control_plane)
    with guest.client("admin") as admin:
        assert admin.ask("GET", "/api/v1/nodes").status == 200
    binding = unbound.get(PATH + KUBELET_API_ADMINS)
    assert binding["roleRef"]["name"] == "system:kubelet-api-admin"
    assert [subject["name"] for subject in binding["subjects"]] == [KUBELET_API_ADMINS]


def test_a_second_run_changes_nothing(
    super_admin: KubernetesClient, activities: GuestActivities, control_plane: GuestRequest
) -> None:
    run(activities.ensure_access, control_plane)
    before = [super_admin.get(PATH + group) for group in BINDINGS]
    run(activities.ensure_access, control_plane)
    assert [super_admin.get(PATH + group) for group in BINDINGS] == before


def test_a_half_done_run_is_completed(
    unbound: KubernetesClient, activities: GuestActivities, control_plane: GuestRequest
) -> None:
    run(activities.ensure_access, control_plane)
    unbound.ask("DELETE", PATH + KUBELET_API_ADMINS)
    run(activities.ensure_access, control_plane)
    assert unbound.ask("GET", PATH + KUBELET_API_ADMINS).status == 200


@pytest.mark.usefixtures("unbound")
def test_only_a_super_admin_can_bind(impostors: TestIdentities, control_plane: GuestRequest) -> None:
    impostors.instead = {"super-admin": "admin"}
    code, message = refusal(GuestActivities(impostors).ensure_access, control_plane)
    assert code is ErrorCode.API_DENIED
    assert "403 Forbidden" in message


def test_an_administrator_who_stays_refused_is_an_error(
    impostors: TestIdentities, control_plane: GuestRequest
) -> None:
    impostors.instead = {"admin": "kube-scheduler"}
    code, message = refusal(GuestActivities(impostors).ensure_access, control_plane)
    assert code is ErrorCode.API_DENIED
    assert control_plane.cluster.endpoint in message
