"""Verifying a cluster by using it, and seeing what is wrong with it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.kubernetes import GuestActivities
from activities.kubernetes.client import MERGE_PATCH, KubernetesClient
from activities.kubernetes.etcd import read_raw
from activities.kubernetes.identity import mutual_tls, server_tls
from activities.kubernetes.nodes import NODES
from activities.kubernetes.verification import (
    ENCRYPTED,
    LABEL,
    NAMESPACES,
    PREFIX,
    Verification,
    encryption,
    read_logs,
    tolerations,
)
from api.cluster import NodePool, Taint
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.guest import GuestReport, GuestRequest
from tests.activities.kubernetes.running import refusal, run
from tests.support.guest import GuestCluster

INSECURE_HOST = 12


def living_namespaces(client: KubernetesClient) -> list[str]:
    found = client.get(f"{NAMESPACES}?labelSelector={LABEL}")["items"]
    return [item["metadata"]["name"] for item in found if "deletionTimestamp" not in item["metadata"]]


@pytest.mark.usefixtures("nodes")
def test_a_cluster_is_verified_again_and_again(
    activities: GuestActivities, control_plane: GuestRequest, admin: KubernetesClient
) -> None:
    for _ in range(2):
        message = run(activities.verify_cluster, control_plane)
        assert message.startswith("pods ran on workers-")
        assert "secrets are encrypted in etcd (secretbox)" in message
        assert living_namespaces(admin) == []


def test_a_cluster_without_nodes_is_verified_as_far_as_it_goes(
    activities: GuestActivities, control_plane: GuestRequest, admin: KubernetesClient
) -> None:
    spec = control_plane.cluster.spec.model_copy(update={"node_pools": []})
    cluster = control_plane.cluster.model_copy(update={"spec": spec})
    message = run(activities.verify_cluster, control_plane.model_copy(update={"cluster": cluster}))
    assert message.startswith("no workload was tried, as there are no nodes; secrets are encrypted")
    assert living_namespaces(admin) == []


@pytest.mark.usefixtures("nodes")
def test_what_a_broken_go_left_is_deleted(
    activities: GuestActivities, control_plane: GuestRequest, admin: KubernetesClient
) -> None:
    left = admin.create(NAMESPACES, {"metadata": {"generateName": PREFIX, "labels": {LABEL: "true"}}})
    run(activities.verify_cluster, control_plane)
    assert left["metadata"]["name"] not in living_namespaces(admin)


@pytest.fixture
def cordoned(guest: GuestCluster, admin: KubernetesClient, nodes: None) -> Iterator[None]:
    """All nodes closed to new pods."""
    paths = [f"{NODES}/{machine.name}" for machine in guest.nodes]
    for path in paths:
        admin.change(path, {"spec": {"unschedulable": True}}, MERGE_PATCH)
    yield
    for path in paths:
        admin.change(path, {"spec": {"unschedulable": None}}, MERGE_PATCH)


@pytest.mark.usefixtures("cordoned")
def test_pods_that_find_no_node_are_named_with_the_schedulers_reason(
    activities: GuestActivities, control_plane: GuestRequest, admin: KubernetesClient
) -> None:
    code, message = refusal(activities.verify_cluster, control_plane, seconds=3)
    assert code is ErrorCode.VERIFICATION_FAILED
    assert message.startswith("0 of 2 pods ran: workload-")
    assert "unscheduled: 0/3 nodes are available" in message
    assert living_namespaces(admin) == []


@pytest.fixture
def lost(guest: GuestCluster, activities: GuestActivities, admin: KubernetesClient, nodes: None) -> Iterator[str]:
    """A pod that ran on the first node, whose kubelet was killed then."""
    run(activities.ensure_addons, GuestRequest(cluster=guest.context))
    machine, deadline = guest.nodes[0], time.monotonic() + 20
    query = f"{NAMESPACES}/kube-system/pods?fieldSelector=spec.nodeName={machine.name},status.phase=Running"
    while not (pods := admin.get(query)["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    guest.stop(f"{machine.name}/kubelet")
    yield pods[0]["metadata"]["name"]
    guest.start_nodes([machine])


def test_a_kubelet_that_the_api_server_cannot_reach_is_found(
    guest: GuestCluster, admin: KubernetesClient, lost: str
) -> None:
    def read(_: GuestRequest) -> GuestReport:
        read_logs(admin, "kube-system", {guest.nodes[0].name: lost}, time.monotonic() + 0.5)
        return GuestReport()

    code, message = refusal(read, GuestRequest(cluster=guest.context))
    assert code is ErrorCode.VERIFICATION_FAILED
    assert message == f"the API server could not get the log of {lost} from the kubelet of {guest.nodes[0].name}"


@pytest.mark.usefixtures("admin")
def test_a_controller_manager_that_hangs_is_found(
    activities: GuestActivities, control_plane: GuestRequest, guest: GuestCluster
) -> None:
    with guest.hanging("control-plane-1/kube-controller-manager"):
        code, message = refusal(activities.verify_cluster, control_plane)
    assert code is ErrorCode.VERIFICATION_FAILED
    assert message.startswith("the controller manager made no default service account in giantnetes-verification-")


@pytest.mark.usefixtures("admin")
def test_an_etcd_that_is_away_is_named(activities: GuestActivities, control_plane: GuestRequest) -> None:
    away = [machine.model_copy(update={"host": 99}) for machine in control_plane.machines]
    request = control_plane.model_copy(update={"machines": away})
    code, message = refusal(activities.verify_cluster, request)
    assert code is ErrorCode.API_NOT_READY
    assert f"https://{control_plane.cluster.address(99)}:2381/v3/kv/range: no answer" in message


@pytest.fixture(scope="session")
def insecure(guest: GuestCluster) -> Iterator[KubernetesClient]:
    """A super admin at a second API server, which encrypts nothing and lets anonymous requests in."""
    machine = guest.slots[0].model_copy(update={"name": "insecure", "host": INSECURE_HOST})
    services = {service.name: service for service in guest.install(machine).services}
    server = services["kube-apiserver"]
    etcd = f"https://{guest.context.address(guest.slots[0].host)}:2379"
    dropped = ("--encryption-provider-config", "--authentication-config", "--etcd-servers")
    kept = [argument for argument in server.argv if not argument.startswith(dropped)]
    guest.launch("insecure", replace(server, argv=(*kept, f"--etcd-servers={etcd}", "--etcd-prefix=/insecure")))
    url = f"https://{guest.context.address(INSECURE_HOST)}:6443"
    guest.await_ready(url)
    with guest.client("super-admin", url) as client:
        yield client
    guest.stop("insecure/kube-apiserver")


def verification(guest: GuestCluster, admin: KubernetesClient, server: str) -> Verification:
    """Return a verification that writes as ``admin``, and looks at the API server at ``server``."""
    etcd = mutual_tls(guest.identities.client_certificate(guest.context, "etcd-healthcheck-client", 600))
    trust = server_tls(guest.identities.client_certificate(guest.context, "admin", 600).ca_pem)
    read = partial(read_raw, [guest.context.address(guest.slots[0].host)], etcd)
    prefix = "/insecure" if admin.url == server else "/registry"
    return Verification(
        cluster=guest.context,
        admin=admin,
        connect=lambda token: [KubernetesClient(server, trust, token)],
        read_etcd=lambda key: read(key.replace("/registry", prefix)),
    )


def failure_of(checked: Verification) -> str:
    def verify(_: GuestRequest) -> GuestReport:
        return GuestReport(message=checked.run())

    code, message = refusal(verify, GuestRequest(cluster=checked.cluster))
    assert code is ErrorCode.VERIFICATION_FAILED
    return message


def test_a_secret_that_lies_in_the_clear_is_found(guest: GuestCluster, insecure: KubernetesClient) -> None:
    assert failure_of(verification(guest, insecure, insecure.url)) == "a secret lies unencrypted in etcd"


def test_an_api_server_that_lets_anybody_in_is_found(
    guest: GuestCluster, admin: KubernetesClient, insecure: KubernetesClient
) -> None:
    message = failure_of(verification(guest, admin, insecure.url))
    assert message == f"{insecure.url} answers an anonymous request with 403, not 401"


@given(st.binary(), st.binary(min_size=16))
def test_only_a_value_with_the_prefix_and_without_the_marker_is_encrypted(value: bytes, marker: bytes) -> None:
    for raw in (value, marker, ENCRYPTED + b"secretbox:v1:key-1:" + marker):
        if raw.startswith(ENCRYPTED) and marker not in raw:
            continue
        with pytest.raises(StepError):
            encryption(raw, marker)
    if marker not in value and marker not in b"k8s:enc:secretbox:v1:key-1:":
        assert encryption(ENCRYPTED + b"secretbox:v1:key-1:", marker) == "secretbox"


def test_the_workload_tolerates_taints_only_where_it_must() -> None:
    taint = Taint(key="dedicated", value="batch", effect="NoSchedule")
    preferred = Taint(key="rather-not", effect="PreferNoSchedule")
    tainted, plain = NodePool(name="a", taints=[taint]), NodePool(name="b", taints=[preferred])
    empty = plain.model_copy(update={"replicas": 0})
    assert tolerations([tainted, plain]) == []
    assert tolerations([]) == []
    assert tolerations([empty, tainted]) == [
        {"operator": "Equal", "key": "dedicated", "value": "batch", "effect": "NoSchedule"}
    ]
