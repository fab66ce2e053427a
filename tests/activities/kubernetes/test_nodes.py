"""Initializing nodes and waiting for them."""

from collections.abc import Iterator

import pytest

from activities.kubernetes import GuestActivities
from activities.kubernetes.client import MERGE_PATCH, Json, KubernetesClient
from activities.kubernetes.nodes import NODES, POOL_LABEL, UNINITIALIZED
from api.errors import ErrorCode
from contracts.guest import GuestRequest
from contracts.machines import MachinePlan, MachineRole
from tests.activities.kubernetes.running import refusal, run
from tests.support.guest import GuestCluster


@pytest.fixture
def pools(guest: GuestCluster) -> GuestRequest:
    """A request about all nodes."""
    return GuestRequest(cluster=guest.context, machines=guest.nodes)


@pytest.fixture
def silent(admin: KubernetesClient) -> Iterator[MachinePlan]:
    """A machine whose node is registered, and whose kubelet then died."""
    machine = MachinePlan(name="silent-1", role=MachineRole.NODE, host=77, pool="silent")
    taints = [{"key": "other", "effect": "NoSchedule"}, {"key": UNINITIALIZED, "effect": "NoSchedule"}]
    admin.create(NODES, {"metadata": {"name": machine.name}, "spec": {"taints": taints}})
    yield machine
    admin.ask("DELETE", f"{NODES}/{machine.name}")


def taints_of(node: Json) -> set[str]:
    return {taint["key"] for taint in node["spec"].get("taints", [])}


def addresses_of(node: Json) -> dict[str, str]:
    return {address["type"]: address["address"] for address in node["status"]["addresses"]}


@pytest.mark.usefixtures("nodes")
def test_nodes_know_which_machine_they_are(guest: GuestCluster, admin: KubernetesClient) -> None:
    for machine in guest.nodes:
        node = admin.get(f"{NODES}/{machine.name}")
        expected = {"InternalIP": guest.context.address(machine.host), "Hostname": machine.name}
        assert addresses_of(node) == expected
        assert node["spec"]["providerID"] == f"giantnetes://{guest.context.cluster_id}/{machine.name}"
        assert node["metadata"]["labels"].items() >= machine.labels.items()
        assert UNINITIALIZED not in taints_of(node)


@pytest.mark.usefixtures("nodes")
def test_a_pools_own_taints_stay(guest: GuestCluster, admin: KubernetesClient) -> None:
    tainted = [machine.name for machine in guest.nodes if machine.taints]
    assert tainted
    assert all("dedicated" in taints_of(admin.get(f"{NODES}/{name}")) for name in tainted)


@pytest.mark.usefixtures("nodes")
def test_a_second_run_finds_them_ready(activities: GuestActivities, pools: GuestRequest) -> None:
    assert run(activities.await_nodes, pools) == "3 nodes ready"


@pytest.mark.usefixtures("nodes")
def test_who_is_to_be_heard_from_anew_must_show_a_sign_of_life(
    activities: GuestActivities, guest: GuestCluster, admin: KubernetesClient, silent: MachinePlan
) -> None:
    """Kubelets renew their lease every ten seconds; a node keeps its Ready for a while after its kubelet."""
    heard = GuestRequest(cluster=guest.context, machines=guest.nodes[:1], anew=True)
    assert run(activities.await_nodes, heard) == "1 nodes ready"
    request = GuestRequest(cluster=guest.context, machines=[silent], anew=True)
    refusal(activities.await_nodes, request)
    conditions = [{"type": "Ready", "status": "True", "reason": "Test"}]
    admin.change(f"{NODES}/{silent.name}/status", {"status": {"conditions": conditions}}, MERGE_PATCH)
    code, message = refusal(activities.await_nodes, request)
    assert (code, message) == (
        ErrorCode.NODES_NOT_READY,
        "nodes not ready: silent-1 is Ready, but has not been heard from",
    )
    assert run(activities.await_nodes, request.model_copy(update={"anew": False})) == "1 nodes ready"


def test_no_machines_are_ready_at_once(activities: GuestActivities, guest: GuestCluster) -> None:
    assert run(activities.await_nodes, GuestRequest(cluster=guest.context)) == "0 nodes ready"


@pytest.mark.usefixtures("nodes")
def test_a_missing_node_is_named(activities: GuestActivities, pools: GuestRequest) -> None:
    missing = MachinePlan(name="workers-9", role=MachineRole.NODE, host=88, pool="workers")
    request = pools.model_copy(update={"machines": [*pools.machines, missing]})
    code, message = refusal(activities.await_nodes, request)
    assert code is ErrorCode.NODES_NOT_READY
    assert message == "nodes not ready: workers-9 has not registered"


def test_a_node_that_is_not_ready_is_initialized_and_named(
    activities: GuestActivities, guest: GuestCluster, admin: KubernetesClient, silent: MachinePlan
) -> None:
    request = GuestRequest(cluster=guest.context, machines=[silent])
    code, message = refusal(activities.await_nodes, request)
    assert code is ErrorCode.NODES_NOT_READY
    assert message.startswith("nodes not ready: silent-1 has Ready=")
    node = admin.get(f"{NODES}/{silent.name}")
    assert addresses_of(node)["InternalIP"] == guest.context.address(silent.host)
    assert node["metadata"]["labels"][POOL_LABEL] == "silent"
    assert "other" in taints_of(node)
    assert UNINITIALIZED not in taints_of(node)


def test_a_half_initialized_node_is_completed(
    activities: GuestActivities, guest: GuestCluster, admin: KubernetesClient, silent: MachinePlan
) -> None:
    addresses = [{"type": "InternalIP", "address": guest.context.address(silent.host)}]
    admin.change(f"{NODES}/{silent.name}/status", {"status": {"addresses": addresses}}, MERGE_PATCH)
    refusal(activities.await_nodes, GuestRequest(cluster=guest.context, machines=[silent]))
    assert UNINITIALIZED not in taints_of(admin.get(f"{NODES}/{silent.name}"))


@pytest.mark.usefixtures("nodes")
def test_a_node_of_another_machine_is_left_alone(activities: GuestActivities, pools: GuestRequest) -> None:
    stranger = pools.cluster.model_copy(update={"cluster_id": "another"})
    code, message = refusal(activities.await_nodes, pools.model_copy(update={"cluster": stranger}))
    assert code is ErrorCode.NODES_NOT_READY
    assert "workers-1 is another machine's (giantnetes://guest-1/workers-1)" in message
