"""What a cloud controller manager does (Kubernetes: "Cloud Controller Manager"), for machines of ours.

Kubelets run with ``--cloud-provider=external``: a node registers tainted and without an address, and nothing
is scheduled on it before whoever knows the machine has told where it is and taken the taint away.
"""

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from activities.kubernetes.client import CONNECTIONS, JSON_PATCH, MERGE_PATCH, Json, KubernetesClient, follow
from activities.kubernetes.waiting import patience
from activities.parallel import gather
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.machines import MachinePlan

NODES = "/api/v1/nodes"
UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
POOL_LABEL = "giantnetes.io/pool"


def await_nodes(
    client: KubernetesClient, cluster: ClusterContext, machines: list[MachinePlan], *, anew: bool = False
) -> None:
    """Initialize the nodes of ``machines`` as they register; return when all are Ready.

    A node stays Ready for a while when its kubelet has gone. ``anew`` wants to hear from each: its lease
    (Kubernetes: "Node heartbeats") must change while we look, whatever the clocks say. Raises NODES_NOT_READY,
    naming each node that is not with what it lacks.
    """
    deadline = time.monotonic() + patience()
    before = {machine.name: _heartbeat(client, machine.name) for machine in machines} if anew else {}
    for nodes in follow(client, NODES):
        for node in gather(_initializations(client, cluster, machines, nodes), CONNECTIONS):
            nodes[node["metadata"]["name"]] = node
        problems = [
            f"{machine.name} {problem}"
            for machine in machines
            if (problem := _problem(nodes.get(machine.name), provider_id(cluster, machine)))
        ] or [
            f"{name} is Ready, but has not been heard from"
            for name, heartbeat in before.items()
            if _heartbeat(client, name) == heartbeat
        ]
        if not problems:
            return
        if time.monotonic() > deadline:
            raise StepError(ErrorCode.NODES_NOT_READY, f"nodes not ready: {'; '.join(problems)}")


def _heartbeat(client: KubernetesClient, name: str) -> str:
    """Return the version of a node's lease, empty when there is none."""
    answer = client.ask("GET", f"{LEASES}/{name}")
    if answer.status == 404:
        return ""
    if answer.status != 200:
        raise StepError(ErrorCode.API_NOT_READY, f"reading the lease of node {name}: {answer.status}")
    return str(json.loads(answer.body)["metadata"]["resourceVersion"])


def provider_id(cluster: ClusterContext, machine: MachinePlan) -> str:
    """Return what says of which machine a node is."""
    return f"giantnetes://{cluster.cluster_id}/{machine.name}"


def _initializations(
    client: KubernetesClient, cluster: ClusterContext, machines: list[MachinePlan], nodes: dict[str, Json]
) -> Iterator[partial[Json]]:
    """Yield a call for each registered node that waits for its address or for the taint to go."""
    for machine in machines:
        node = nodes.get(machine.name)
        if node is not None and not (_has_address(node) and _taint(node) is None):
            yield partial(_initialize, client, cluster, machine, node)


def _initialize(client: KubernetesClient, cluster: ClusterContext, machine: MachinePlan, node: Json) -> Json:
    """Tell the node's address first: kubelets give it to pods of the host's network, which come at once.

    Returns the node as it is then; as it was, when it changed meanwhile and another event will follow.
    """
    path = f"{NODES}/{machine.name}"
    if not _has_address(node):
        addresses = [
            {"type": "InternalIP", "address": cluster.address(machine.host)},
            {"type": "Hostname", "address": machine.name},
        ]
        node = client.change(f"{path}/status", {"status": {"addresses": addresses}}, MERGE_PATCH) or node
    if _taint(node) is not None:
        patch = _admission(node, machine, provider_id(cluster, machine))
        node = client.change(path, patch, JSON_PATCH) or node
    return node


def _admission(node: Json, machine: MachinePlan, identity: str) -> list[Json]:
    """Return the patch (RFC 6902) that lets pods in; it fails when the list of taints changed meanwhile."""
    taint = f"/spec/taints/{_taint(node)}"
    return [
        {"op": "test", "path": f"{taint}/key", "value": UNINITIALIZED},
        {"op": "remove", "path": taint},
        {"op": "add", "path": "/spec/providerID", "value": identity},
        *_labelling(node["metadata"].get("labels", {}), machine.pool),
    ]


def _labelling(labels: dict[str, str], pool: str) -> list[Json]:
    """Return the patch that names the pool, where the kubelet has not."""
    if not pool or labels.get(POOL_LABEL) == pool:
        return []
    if not labels:
        return [{"op": "add", "path": "/metadata/labels", "value": {POOL_LABEL: pool}}]
    return [{"op": "add", "path": f"/metadata/labels/{POOL_LABEL.replace('/', '~1')}", "value": pool}]


def _has_address(node: Json) -> bool:
    return any(address["type"] == "InternalIP" for address in node["status"].get("addresses", []))


def _taint(node: Json) -> int | None:
    """Return the place of the taint among the node's, None when it is gone."""
    taints: list[Any] = node["spec"].get("taints", [])
    return next((index for index, taint in enumerate(taints) if taint["key"] == UNINITIALIZED), None)


def _problem(node: Json | None, identity: str) -> str:
    """Return what keeps a node from being ready, empty when nothing does. Only enumerated reasons are told."""
    if node is None:
        return "has not registered"
    found = node["spec"].get("providerID", "")
    if found not in {"", identity}:
        return f"is another machine's ({found})"
    if not found or not _has_address(node):
        return "could not be initialized"
    ready = _ready(node)
    return "" if is_ready(node) else f"has Ready={ready['status']} ({ready.get('reason', '')})"


def is_ready(node: Json) -> bool:
    """Return whether a node's kubelet says, or said not long ago, that it is Ready."""
    return bool(_ready(node)["status"] == "True")


def _ready(node: Json) -> Json:
    conditions = {condition["type"]: condition for condition in node["status"].get("conditions", [])}
    return dict(conditions.get("Ready", {"status": "Unknown", "reason": "no status yet"}))
