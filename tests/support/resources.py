"""Cluster resources for tests."""

from pathlib import Path
from typing import Any

from api.cluster import Cluster
from contracts.workflows import ClusterInput

NO_QUOTAS = Path(__file__).parent / "no_quotas.yaml"
"""A file of quotas for those who make as many clusters as they want."""

NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
"""What a schema takes for a certificate, and our rules don't."""


def cluster_document(name: str = "demo", **spec: Any) -> dict[str, Any]:
    """Return a small valid cluster as a user would write it."""
    return {
        "apiVersion": "giantnetes.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {
            "provider": "simulated",
            "owner": "acme",
            "release": "1.37.2-1",
            "nodePools": [{"name": "workers", "replicas": 2}],
            **spec,
        },
    }


def cluster(name: str = "demo", **spec: Any) -> Cluster:
    """Return it as a model."""
    return Cluster.model_validate(cluster_document(name, **spec))


def cluster_input(name: str = "demo", **spec: Any) -> ClusterInput:
    """Return it as a workflow's input."""
    return ClusterInput.model_validate(cluster_document(name, **spec))
