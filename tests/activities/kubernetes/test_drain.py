"""Moving pods away from a node."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from activities.kubernetes import GuestActivities
from activities.kubernetes.client import Json, KubernetesClient
from activities.kubernetes.drain import cordon, drain, movable
from activities.kubernetes.nodes import NODES
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.guest import GuestRequest
from contracts.machines import MachinePlan, MachineRole
from tests.activities.kubernetes.running import environment, run
from tests.support.guest import GuestCluster

PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
SECONDS = 20


def pod(phase: str = "Running", **metadata: Any) -> Json:
    return {"metadata": {"name": "x", "namespace": "default", **metadata}, "status": {"phase": phase}}


def owner(kind: str, *, controller: bool = True) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": "x", "controller": controller}]}


@pytest.mark.parametrize(
    ("found", "moves"),
    [
        (pod(), True),
        (pod("Pending", **owner("ReplicaSet")), True),
        (pod(**owner("DaemonSet")), False),
        (pod(**owner("DaemonSet", controller=False)), True),
        (pod(annotations={"kubernetes.io/config.mirror": "x"}), False),
        (pod("Succeeded"), False),
        (pod("Failed"), False),
    ],
)
def test_what_moves(found: Json, moves: bool) -> None:
    assert bool(movable([found])) is moves


@pytest.fixture
def node(guest: GuestCluster, admin: KubernetesClient, nodes: None) -> Iterator[MachinePlan]:
    """A machine whose node takes pods, before and after."""
    del nodes
    yield guest.nodes[0]
    cordon(admin, guest.nodes[0].name, cordoned=False)


@pytest.fixture
def running(admin: KubernetesClient, node: MachinePlan) -> Iterator[str]:
    """The name of a pod that runs on that node."""
    name = "drained"
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10"}
    spec = {"nodeName": node.name, "containers": [container], "terminationGracePeriodSeconds": 1}
    admin.create(PODS, {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
    until(lambda: admin.get(f"{PODS}/{name}")["status"].get("phase") == "Running")
    yield name
    admin.ask("DELETE", f"{PODS}/{name}")
    until(lambda: admin.ask("GET", f"{PODS}/{name}").status == 404)


def until(reached: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def unschedulable(admin: KubernetesClient, node: MachinePlan) -> bool:
    return bool(admin.get(f"{NODES}/{node.name}")["spec"].get("unschedulable"))


def test_pods_leave_and_no_others_come(
    activities: GuestActivities, guest: GuestCluster, admin: KubernetesClient, node: MachinePlan, running: str
) -> None:
    request = GuestRequest(cluster=guest.context, machines=[node])
    assert "pods moved away from workers-1" in run(activities.drain_node, request)
    until(lambda: admin.ask("GET", f"{PODS}/{running}").status == 404)
    assert unschedulable(admin, node)
    assert run(activities.drain_node, request) == "0 pods moved away from workers-1"
    for _ in range(2):
        run(activities.uncordon_node, request)
        assert not unschedulable(admin, node)


def test_a_budget_is_respected(admin: KubernetesClient, node: MachinePlan, running: str) -> None:
    budget = {
        "metadata": {"name": running},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": running}}},
    }
    admin.create(BUDGETS, budget)
    try:
        until(lambda: admin.get(f"{BUDGETS}/{running}")["status"].get("observedGeneration"))
        with pytest.raises(StepError) as raised:
            environment(60).run(drain, admin, node.name, 1)
        assert raised.value.code is ErrorCode.NODE_NOT_DRAINED
        assert f"default/{running}" in raised.value.message
        assert admin.get(f"{PODS}/{running}")["status"]["phase"] == "Running"
    finally:
        admin.ask("DELETE", f"{BUDGETS}/{running}")


def test_a_node_that_is_not_ready_moves_nothing(guest: GuestCluster, admin: KubernetesClient) -> None:
    admin.create(NODES, {"metadata": {"name": "dead-1"}})
    try:
        assert drain(admin, "dead-1") == "node dead-1 is not Ready: its pods can't be moved"
        assert admin.get(f"{NODES}/dead-1")["spec"]["unschedulable"]
    finally:
        admin.ask("DELETE", f"{NODES}/dead-1")


def test_a_node_that_is_gone_is_no_obstacle(
    activities: GuestActivities, guest: GuestCluster, admin: KubernetesClient
) -> None:
    del admin
    nobody = MachinePlan(name="nobody-1", role=MachineRole.NODE, host=99)
    request = GuestRequest(cluster=guest.context, machines=[nobody])
    assert run(activities.drain_node, request) == "there is no node nobody-1"
    run(activities.uncordon_node, request)
