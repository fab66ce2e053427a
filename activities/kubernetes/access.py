"""Who may do what in a guest cluster: the role bindings of our own certificates, and those of people's groups."""

from functools import partial

from activities.kubernetes.client import CONNECTIONS, Json, KubernetesClient
from activities.kubernetes.manifests import path_of
from activities.kubernetes.waiting import patience, poll
from activities.parallel import gather
from api.cluster import OidcSpec
from api.errors import ErrorCode
from contracts.certificates import CLUSTER_ADMINS, KUBELET_API_ADMINS, USER_FACING_ROLES
from contracts.errors import StepError

BINDINGS = {CLUSTER_ADMINS: "cluster-admin", KUBELET_API_ADMINS: "system:kubelet-api-admin"}
"""Group to cluster role: our administrators, and the API server towards kubelets."""

_RBAC = "rbac.authorization.k8s.io"
_READABLE = {
    "": ["nodes", "persistentvolumes"],
    "storage.k8s.io": ["storageclasses"],
    "apiextensions.k8s.io": ["customresourcedefinitions"],
    "metrics.k8s.io": ["nodes", "pods"],
}


def bind_groups(super_admin: KubernetesClient, oidc: OidcSpec | None) -> None:
    """Bind each group of ``BINDINGS`` and ``USER_FACING_ROLES``, and what the issuer calls like those of people.

    Only system:masters may, while nothing is bound. A binding of people that is there stays as it is: an
    administrator may have changed it.
    """
    ours = [cluster_wide_view(), *(_binding(group, role, [group]) for group, role in BINDINGS.items())]
    calls = [partial(_apply, super_admin, manifest) for manifest in ours]
    gather([*calls, *(partial(_add, super_admin, binding) for binding in people_bindings(oidc))], CONNECTIONS)


def people_bindings(oidc: OidcSpec | None) -> list[Json]:
    """Return one binding for each of ``USER_FACING_ROLES``: of people with certificates, and of the issuer's."""
    prefixes = ["", oidc.groups_prefix] if oidc else [""]
    return [
        _binding(f"giantnetes:{group}", role, [prefix + group for prefix in prefixes])
        for group, role in USER_FACING_ROLES.items()
    ]


def cluster_wide_view() -> Json:
    """Return what the role ``view`` lacks, as it is of namespaces only (Kubernetes: Aggregated ClusterRoles)."""
    rules = [
        {"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]}
        for group, resources in _READABLE.items()
    ]
    labels = {f"{_RBAC}/aggregate-to-view": "true"}
    metadata = {"name": "giantnetes:aggregate-to-view", "labels": labels}
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}


def _apply(client: KubernetesClient, manifest: Json) -> None:
    client.apply(path_of(manifest), manifest)


def _add(client: KubernetesClient, manifest: Json) -> None:
    if client.find(path_of(manifest)) is None:
        _apply(client, manifest)


def _binding(name: str, role: str, groups: list[str]) -> Json:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups],
    }


def await_allowed(admins: list[KubernetesClient]) -> None:
    """Return when each API server lets an administrator in: each learns of bindings by a watch of its own.

    Raises API_DENIED when one still refuses in the end.
    """
    path, waiting = path_of(_binding(CLUSTER_ADMINS, "", [])), {client.url: client for client in admins}

    def allowed() -> bool | None:
        for client in list(waiting.values()):
            if client.ask("GET", path).status == 200:
                del waiting[client.url]
        return None if waiting else True

    if not poll(allowed, patience()):
        refusing = ", ".join(waiting)
        raise StepError(ErrorCode.API_DENIED, f"{refusing}: the group {CLUSTER_ADMINS} is bound but refused")
