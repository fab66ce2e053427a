"""A control plane machine: etcd, the API server, the controller manager and the scheduler."""

from contracts.machines import control_planes_are_nodes
from contracts.vault import Authority
from nodes.model import MachineConfig, Parts, Scope
from nodes.secrets import ENCRYPTION_CONFIG, SERVICE_ACCOUNT_KEY
from nodes.v1.apiserver import apiserver
from nodes.v1.controllers import controller_manager, kubeconfigs, scheduler
from nodes.v1.endpoint import endpoint_parts
from nodes.v1.etcd import etcd
from nodes.v1.node import node_parts
from nodes.v1.policies import audit_policy, authentication
from nodes.v1.trust import authority_file, held_certificates


def control_plane(scope: Scope) -> MachineConfig:
    """Return the machine of a control plane slot, which is a node as well where containers are real."""
    options = scope.request.cluster.spec.api_server
    parts = node_parts(scope) if control_planes_are_nodes(scope.request.cluster.spec.provider) else Parts()
    endpoint = endpoint_parts(scope)
    return MachineConfig(
        address=scope.address,
        folders=(scope.layout.config, scope.layout.logs, f"{scope.layout.etcd}/data", *parts.folders),
        files=(
            authentication(scope.layout, options),
            audit_policy(scope.layout, options.audit, several=len(scope.request.slots) > 1),
            *kubeconfigs(scope),
            *endpoint.files,
            *parts.files,
        ),
        services=(
            etcd(scope),
            apiserver(scope),
            controller_manager(scope),
            scheduler(scope),
            *endpoint.services,
            *parts.services,
        ),
        certificates=held_certificates(scope.request),
        authorities=tuple(authority_file(authority) for authority in Authority),
        secrets=(SERVICE_ACCOUNT_KEY, ENCRYPTION_CONFIG),
    )
