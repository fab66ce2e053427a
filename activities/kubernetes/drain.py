"""Moving pods away from a node whose machine is to go, as `kubectl drain` does (Kubernetes: Safely Drain a Node).

Pods of DaemonSets and mirror pods stay: they belong to the node. Pods that nobody controls are evicted too, and
are not made again: a machine is replaced, not kept.
"""

from activities.kubernetes.client import MERGE_PATCH, Json, KubernetesClient
from activities.kubernetes.nodes import NODES, is_ready
from activities.kubernetes.waiting import poll
from api.errors import ErrorCode
from contracts.errors import StepError

PATIENCE_SECONDS = 100.0
"""How long one attempt waits for disruption budgets and grace periods: less than half of what its login lasts."""

AGAIN_SECONDS = 1.0

_DONE = {"Succeeded", "Failed"}


def cordon(client: KubernetesClient, name: str, *, cordoned: bool) -> Json | None:
    """Keep new pods off a node, or let them onto it again; return the node, None when there is none."""
    return client.change(f"{NODES}/{name}", {"spec": {"unschedulable": cordoned or None}}, MERGE_PATCH)


def drain(client: KubernetesClient, name: str, seconds: float = PATIENCE_SECONDS) -> str:
    """Cordon a node and evict its pods; return what became of them, in a few words.

    A node that is not Ready moves nothing: its kubelet would have to end the pods. Raises NODE_NOT_DRAINED with
    the pods that are still there after ``seconds``.
    """
    node = cordon(client, name, cordoned=True)
    if node is None:
        return f"there is no node {name}"
    if not is_ready(node):
        return f"node {name} is not Ready: its pods can't be moved"
    first = {_key(pod) for pod in movable(_pods(client, name))}
    poll(lambda: _evict(client, name) or None, seconds, AGAIN_SECONDS)
    left = {_key(pod) for pod in movable(_pods(client, name))}
    if left:
        listed = ", ".join(sorted(left)[:5]) + (" ..." if len(left) > 5 else "")
        raise StepError(ErrorCode.NODE_NOT_DRAINED, f"{len(left)} pods are still on node {name}: {listed}")
    return f"{len(first)} pods moved away from {name}"


def movable(pods: list[Json]) -> list[Json]:
    """Return the pods that have to go before their node may."""
    return [pod for pod in pods if not _stays(pod) and pod["status"].get("phase") not in _DONE]


def _evict(client: KubernetesClient, name: str) -> bool:
    """Ask for the eviction of what is there; return whether nothing is."""
    pods = movable(_pods(client, name))
    for pod in pods:
        if not pod["metadata"].get("deletionTimestamp"):
            _evict_pod(client, pod)
    return not pods


def _evict_pod(client: KubernetesClient, pod: Json) -> None:
    """Ask once. Whatever the answer is, a budget's refusal or a webhook's, the pod that stays is what counts."""
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "deleteOptions": {"preconditions": {"uid": meta["uid"]}},
    }
    client.ask("POST", path, body)


def _pods(client: KubernetesClient, name: str) -> list[Json]:
    pods: list[Json] = client.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{name}")["items"]
    return pods


def _stays(pod: Json) -> bool:
    meta = pod["metadata"]
    owners = meta.get("ownerReferences", [])
    of_daemon_set = any(owner.get("controller") and owner["kind"] == "DaemonSet" for owner in owners)
    return of_daemon_set or "kubernetes.io/config.mirror" in meta.get("annotations", {})


def _key(pod: Json) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
