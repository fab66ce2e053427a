"""The two role bindings that our own certificates need in a guest cluster."""

from functools import partial

from activities.kubernetes.client import CONNECTIONS, Json, KubernetesClient
from activities.kubernetes.waiting import patience, poll
from activities.parallel import gather
from api.errors import ErrorCode
from contracts.certificates import CLUSTER_ADMINS, KUBELET_API_ADMINS
from contracts.errors import StepError

BINDINGS = {CLUSTER_ADMINS: "cluster-admin", KUBELET_API_ADMINS: "system:kubelet-api-admin"}
"""Group to cluster role: our administrators, and the API server towards kubelets."""

_RBAC = "rbac.authorization.k8s.io"
_PATH = f"/apis/{_RBAC}/v1/clusterrolebindings/"


def bind_groups(super_admin: KubernetesClient) -> None:
    """Bind each group of ``BINDINGS`` to its role. Only system:masters may, while nothing is bound."""
    bindings = [(_PATH + group, _binding(group, role)) for group, role in BINDINGS.items()]
    gather([partial(super_admin.apply, *binding) for binding in bindings], CONNECTIONS)


def _binding(group: str, role: str) -> Json:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": group},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group}],
    }


def await_allowed(admins: list[KubernetesClient]) -> None:
    """Return when each API server lets an administrator in: each learns of bindings by a watch of its own.

    Raises API_DENIED when one still refuses in the end.
    """
    waiting = {client.url: client for client in admins}

    def allowed() -> bool | None:
        for client in list(waiting.values()):
            if client.ask("GET", _PATH + CLUSTER_ADMINS).status == 200:
                del waiting[client.url]
        return None if waiting else True

    if not poll(allowed, patience()):
        refusing = ", ".join(waiting)
        raise StepError(ErrorCode.API_DENIED, f"{refusing}: the group {CLUSTER_ADMINS} is bound but refused")
