"""What the host cluster of the local stack has beside Kubernetes itself: roles, policies, a namespace."""

from http import HTTPStatus
from pathlib import Path

import yaml

from activities.kubernetes.connection import connect
from activities.kubernetes.manifests import path_of
from api.cluster import API_VERSION
from contracts.errors import StepError
from deploy.stack.errors import StackError
from deploy.stack.model import Stack
from deploy.stack.waiting import until

DEPLOY = Path(__file__).parents[1]
FILES = (
    "host/namespace.yaml",
    "chart/files/processes.yaml",
    "chart/files/people.yaml",
    "chart/files/policies.yaml",
    "host/local.yaml",
)
"""In the order in which they need each other; those of the chart are what it installs as well."""


TAKEN_S = 30
AGAIN = "Run `just up` again; see the log of host-apiserver."


def settle(stack: Stack) -> None:
    """Apply the manifests ``FILES`` (Kubernetes: server-side apply). StackError when one is refused."""
    try:
        with connect(stack.host_kubeconfig) as client:
            for name in FILES:
                for manifest in yaml.safe_load_all((DEPLOY / name).read_text()):
                    client.apply(path_of(manifest), manifest)
    except StepError as error:
        message = f"The host cluster refused deploy/{name}: {error.message}."
        raise StackError(message, AGAIN) from error


def await_clusters(stack: Stack) -> None:
    """Wait until the host cluster takes clusters; StackError when it doesn't.

    For some seconds after a definition has come it answers 503 where a policy changes such a resource: it asks
    itself for schemas every 5 s (apiserver's typeConverterManager).
    """
    path = f"/apis/{API_VERSION}/namespaces/default/clusters?dryRun=All"
    body = {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": {"generateName": "dry-run-"}}
    with connect(stack.host_kubeconfig) as client:

        def taken() -> bool:
            return client.ask("POST", path, body).status != HTTPStatus.SERVICE_UNAVAILABLE

        try:
            told = until(taken, TAKEN_S)
        except StepError as error:
            raise StackError(f"The host cluster takes no clusters: {error.message}.", AGAIN) from error
    if not told:
        raise StackError(f"The host cluster took no clusters within {TAKEN_S} s.", AGAIN)
