"""A control plane machine: etcd, the API server, the controller manager and the scheduler."""

from contracts.machines import MachineRole
from contracts.vault import Authority
from nodes.model import MachineConfig, Scope
from nodes.secrets import ENCRYPTION_CONFIG, SERVICE_ACCOUNT_KEY
from nodes.v1.apiserver import apiserver
from nodes.v1.controllers import controller_manager, kubeconfigs, scheduler
from nodes.v1.etcd import etcd
from nodes.v1.policies import audit_policy, authentication
from nodes.v1.trust import authority_file, held_certificates


def control_plane(scope: Scope) -> MachineConfig:
    """Return the machine of a control plane slot."""
    options = scope.request.cluster.spec.api_server
    return MachineConfig(
        address=scope.address,
        folders=(scope.layout.config, scope.layout.logs, f"{scope.layout.etcd}/data"),
        files=(
            authentication(scope.layout, options),
            audit_policy(scope.layout, options.audit),
            *kubeconfigs(scope),
        ),
        services=(etcd(scope), apiserver(scope), controller_manager(scope), scheduler(scope)),
        certificates=held_certificates(MachineRole.CONTROL_PLANE),
        authorities=tuple(authority_file(authority) for authority in Authority),
        secrets=(SERVICE_ACCOUNT_KEY, ENCRYPTION_CONFIG),
    )
