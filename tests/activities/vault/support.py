"""Running the vault activities as a worker does, and clusters to run them on."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

from temporalio.testing import ActivityEnvironment

from activities.vault import Task, VaultSettings, vault_activities
from activities.vault.client import VaultClient
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.machines import ClusterReference
from contracts.vault import Authority, AuthorityRequest, ClaimRequest
from tests.support.resources import NO_QUOTAS
from tests.support.resources import cluster as resource

Result = TypeVar("Result")


class Vault:
    """Runs the vault activities by name, as a worker does."""

    def __init__(self, settings: VaultSettings) -> None:
        """Log in lazily, as a worker does."""
        self._settings = settings
        self._activities: dict[str, Callable[..., Any]] = {
            getattr(run, "__temporal_activity_definition").name: run
            for run in vault_activities(settings, NO_QUOTAS)
        }

    def run(self, name: str, request: object, result: type[Result]) -> Result:
        """Run an activity and check the type of what it returns."""
        answer = ActivityEnvironment().run(self._activities[name], request)
        assert isinstance(answer, result)
        return answer

    def do(self, name: str, request: object) -> None:
        """Run an activity that returns nothing."""
        self.run(name, request, type(None))

    def client(self, task: Task) -> VaultClient:
        """Return a client of a task, for requests that no activity would make."""
        return self._settings.client(task)

    def names(self) -> set[str]:
        """Return the names of all activities."""
        return set(self._activities)

    def made(self, cluster: ClusterContext) -> ClusterContext:
        """Make a cluster's CAs and keys."""
        for authority in Authority:
            self._activities[names.ENSURE_AUTHORITY](AuthorityRequest(cluster=cluster, authority=authority))
        self._activities[names.ENSURE_SECRETS](ClaimRequest(cluster=cluster))
        return cluster


def new_cluster(name: str = "", cluster_id: str = "", **spec: Any) -> ClusterContext:
    """Return a cluster that nothing has been made of."""
    cluster_id = cluster_id or f"c{uuid4().hex[:11]}"
    name = name or f"n{cluster_id}"
    return ClusterContext(
        cluster_id=cluster_id,
        namespace="default",
        name=name,
        spec=resource(name, **spec).spec,
        machine_network="127.64.1.0/24",
    )


def reference(cluster: ClusterContext) -> ClusterReference:
    """Return what a deletion knows of a cluster."""
    return ClusterReference(cluster_id=cluster.cluster_id, namespace=cluster.namespace, name=cluster.name)
