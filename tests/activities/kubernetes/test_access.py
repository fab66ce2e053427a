"""Binding the groups of our certificates."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from activities.kubernetes import GuestActivities
from activities.kubernetes.access import BINDINGS, bind_groups, cluster_wide_view, people_bindings
from activities.kubernetes.client import MERGE_PATCH, Json, KubernetesClient
from api.cluster import OidcSpec
from api.errors import ErrorCode
from contracts.certificates import KUBELET_API_ADMINS, USER_FACING_ROLES
from contracts.errors import StepError
from contracts.guest import GuestRequest
from tests.activities.kubernetes.running import refusal, run
from tests.support.guest import GuestCluster, TestIdentities

PATH = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/"
AGGREGATED_SECONDS = 30
PEOPLE = [f"giantnetes:{group}" for group in USER_FACING_ROLES]


@pytest.fixture
def unbound(
    super_admin: KubernetesClient, activities: GuestActivities, control_plane: GuestRequest
) -> Iterator[KubernetesClient]:
    """The cluster without our bindings; afterwards with them."""
    for name in [*BINDINGS, *PEOPLE]:
        super_admin.ask("DELETE", PATH + name)
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
    before = [super_admin.get(PATH + name) for name in [*BINDINGS, *PEOPLE]]
    run(activities.ensure_access, control_plane)
    assert [super_admin.get(PATH + name) for name in [*BINDINGS, *PEOPLE]] == before


def test_a_half_done_run_is_completed(
    unbound: KubernetesClient, activities: GuestActivities, control_plane: GuestRequest
) -> None:
    run(activities.ensure_access, control_plane)
    unbound.ask("DELETE", PATH + KUBELET_API_ADMINS)
    run(activities.ensure_access, control_plane)
    assert unbound.ask("GET", PATH + KUBELET_API_ADMINS).status == 200


def test_groups_of_people_are_bound_and_what_an_administrator_made_of_that_stays(
    unbound: KubernetesClient, activities: GuestActivities, control_plane: GuestRequest
) -> None:
    run(activities.ensure_access, control_plane)
    assert {name: unbound.get(PATH + name)["roleRef"]["name"] for name in PEOPLE} == {
        "giantnetes:viewers": "view",
        "giantnetes:developers": "edit",
        "giantnetes:admins": "admin",
    }
    unbound.change(PATH + PEOPLE[0], {"subjects": []}, MERGE_PATCH)
    unbound.ask("DELETE", PATH + PEOPLE[1])
    run(activities.ensure_access, control_plane)
    assert "subjects" not in unbound.get(PATH + PEOPLE[0])
    assert unbound.get(PATH + PEOPLE[1])["subjects"][0]["name"] == "developers"


def test_groups_of_an_issuer_are_bound_by_its_prefix() -> None:
    oidc = OidcSpec(issuer_url="https://a", client_id="b", groups_prefix="sso-")
    names = [[subject["name"] for subject in binding["subjects"]] for binding in people_bindings(oidc)]
    assert names == [["viewers", "sso-viewers"], ["developers", "sso-developers"], ["admins", "sso-admins"]]


def test_viewers_see_what_is_of_the_whole_cluster(admin: KubernetesClient, super_admin: KubernetesClient) -> None:
    del admin
    ours = cluster_wide_view()["rules"]
    deadline = time.monotonic() + AGGREGATED_SECONDS
    while [rule for rule in ours if rule not in _rules(super_admin, "view")]:
        assert time.monotonic() < deadline, "the controller manager did not add them to the role view"
        time.sleep(0.1)


def _rules(client: KubernetesClient, role: str) -> list[Json]:
    return client.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}")["rules"] or []


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


def test_a_binding_that_could_not_be_read_is_an_error_and_not_left_out(
    super_admin: KubernetesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = super_admin._send

    def busy(method: str, path: str, *arguments: Any) -> Any:
        if method == "GET" and path == PATH + PEOPLE[0]:
            return SimpleNamespace(status=503, reason="Busy", data=b"", read=lambda: b"", headers={})
        return send(method, path, *arguments)

    monkeypatch.setattr(super_admin, "_send", busy)
    with pytest.raises(StepError) as raised:
        bind_groups(super_admin, None)
    assert (raised.value.code, raised.value.retryable) == (ErrorCode.API_NOT_READY, True)
