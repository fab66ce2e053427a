"""Manifests as they are applied to a real API."""

import pytest

from activities.kubernetes import GuestActivities
from activities.kubernetes.addons import addons
from activities.kubernetes.client import MERGE_PATCH, Json, KubernetesClient
from activities.kubernetes.manifests import path_of
from api.errors import ErrorCode
from contracts.guest import GuestRequest
from planning.releases import load_releases
from tests.activities.kubernetes.golden import changed, with_ingress
from tests.activities.kubernetes.running import refusal, run
from tests.support.guest import GuestCluster

COREFILE = "/api/v1/namespaces/kube-system/configmaps/coredns"
DNS_SERVICE = "/api/v1/namespaces/kube-system/services/kube-dns"


@pytest.mark.usefixtures("admin")
def test_they_are_applied_twice_without_a_change(
    guest: GuestCluster, activities: GuestActivities, super_admin: KubernetesClient
) -> None:
    cluster = with_ingress(guest.context, load_releases()[guest.context.spec.release].ingress[0].version)
    request = GuestRequest(cluster=cluster)
    run(activities.ensure_addons, request)
    paths = [path_of(manifest) for manifest in addons(cluster)]
    before = {path: fields(super_admin.get(path)) for path in paths}
    assert run(activities.ensure_addons, request) == f"{len(paths)} objects applied"
    assert {path: fields(super_admin.get(path)) for path in paths} == before


def test_what_is_of_a_new_kind_is_applied_when_that_is_served(
    guest: GuestCluster, activities: GuestActivities, super_admin: KubernetesClient
) -> None:
    cluster = changed(guest.context, provider="libvirt")
    definition = (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusterinformations.crd.projectcalico.org"
    )
    super_admin.ask("DELETE", definition)
    run(activities.ensure_addons, GuestRequest(cluster=cluster))
    assert super_admin.get("/apis/crd.projectcalico.org/v1/clusterinformations/default")["spec"]


def fields(found: Json) -> Json:
    """Return an object without what its controllers write."""
    return {key: value for key, value in found.items() if key not in {"status", "metadata"}}


def test_what_was_changed_or_deleted_comes_back(
    guest: GuestCluster, activities: GuestActivities, admin: KubernetesClient
) -> None:
    request = GuestRequest(cluster=guest.context)
    run(activities.ensure_addons, request)
    before = admin.get(COREFILE)["data"]
    admin.change(COREFILE, {"data": {"Corefile": "broken"}}, MERGE_PATCH)
    admin.ask("DELETE", DNS_SERVICE)
    run(activities.ensure_addons, request)
    assert admin.get(COREFILE)["data"] == before
    assert admin.get(DNS_SERVICE)["spec"]["clusterIP"] == guest.context.dns_address


def test_a_refused_object_is_named_with_its_faulty_fields(
    guest: GuestCluster, activities: GuestActivities, admin: KubernetesClient
) -> None:
    taken = {
        "metadata": {"name": "taken"},
        "spec": {"clusterIP": guest.context.dns_address, "ports": [{"port": 1}]},
    }
    admin.ask("DELETE", DNS_SERVICE)
    admin.create("/api/v1/namespaces/default/services", taken)
    code, message = refusal(activities.ensure_addons, GuestRequest(cluster=guest.context))
    admin.ask("DELETE", "/api/v1/namespaces/default/services/taken")
    assert code is ErrorCode.API_NOT_READY
    assert f"{DNS_SERVICE}: 422 Invalid (spec.clusterIPs): another object has it" in message
    run(activities.ensure_addons, GuestRequest(cluster=guest.context))
