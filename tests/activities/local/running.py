"""Clusters whose services run, and what their APIs say."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from activities.kubernetes.client import KubernetesClient
from activities.kubernetes.identity import mutual_tls
from contracts.errors import StepError
from contracts.machines import Provider
from tests.contract.clusters import TestCluster


def start(provider: Provider, cluster: TestCluster) -> None:
    """Make all machines of a cluster, with endpoint and certificates, side by side."""
    provider.ensure_endpoint(cluster.context, cluster.slots)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda machine: cluster.certify(provider, machine), [*cluster.slots, *cluster.nodes]))


def client(cluster: TestCluster, url: str = "") -> KubernetesClient:
    """Return a client with all rights, for the endpoint or one API server."""
    identity = cluster.vault.client_certificate(cluster.context, "super-admin", 3600)
    return KubernetesClient(url or cluster.context.endpoint, mutual_tls(identity))


def is_ready(cluster: TestCluster, url: str = "") -> bool:
    """Return whether an API server says that it is ready."""
    with contextlib.suppress(StepError), client(cluster, url) as api:
        return api.ask("GET", "/readyz").status == 200
    return False


def items(cluster: TestCluster, path: str) -> list[dict[str, Any]]:
    """Return the objects of a collection."""
    with client(cluster) as api:
        found: list[dict[str, Any]] = api.get(path)["items"]
        return found


def node_names(cluster: TestCluster) -> set[str]:
    """Return the nodes that have registered."""
    return {node["metadata"]["name"] for node in items(cluster, "/api/v1/nodes")}
