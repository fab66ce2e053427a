"""A machine that runs workloads: the kubelet."""

from contracts.machines import MachineRole
from contracts.vault import Authority
from nodes.model import MachineConfig, Scope, Service
from nodes.v1.apiserver import presence
from nodes.v1.kubeconfig import kubeconfig, kubeconfig_path
from nodes.v1.trust import authority_file, held_certificates

KUBELET = "kubelet"
KUBELET_PORT = 10250


def node(scope: Scope) -> MachineConfig:
    """Return a node of a pool."""
    return MachineConfig(
        address=scope.address,
        folders=(scope.layout.config, scope.layout.logs),
        files=(kubeconfig(scope.layout, KUBELET, scope.request.cluster.endpoint, "kubelet-client"),),
        services=(_kubelet(scope),),
        certificates=held_certificates(MachineRole.NODE),
        authorities=(authority_file(Authority.KUBERNETES),),
    )


def _kubelet(scope: Scope) -> Service:
    """Return the kubelet. One that finds no API backs off for up to seven seconds, so it starts when there is one.

    It need not be ready: the Node authorizer knows kubelets without the bootstrap of RBAC.
    """
    layout, cluster, machine = scope.layout, scope.request.cluster, scope.request.machine
    return Service(
        name=KUBELET,
        argv=(
            layout.binary("hollow-node"),
            f"--name={machine.name}",
            f"--kubeconfig={kubeconfig_path(layout, KUBELET)}",
            f"--address={scope.address}",
            f"--port={KUBELET_PORT}",
            f"--client-ca-file={layout.certificate('kubernetes-ca')}",
            f"--tls-cert-file={layout.certificate('kubelet')}",
            f"--tls-private-key-file={layout.key('kubelet')}",
            f"--cpu={machine.size.cpus}",
            f"--memory={machine.size.memory_mib * 2**20}",
            f"--cluster-dns={cluster.dns_address}",
            f"--cluster-domain={cluster.spec.network.cluster_domain}",
            *_registration(scope),
        ),
        needs=presence(scope, cluster.endpoint),
        listens=(KUBELET_PORT,),
    )


def _registration(scope: Scope) -> tuple[str, ...]:
    machine = scope.request.machine
    labels = ",".join(f"{key}={value}" for key, value in sorted(machine.labels.items()))
    taints = ",".join(f"{taint.key}={taint.value}:{taint.effect}" for taint in machine.taints)
    return (
        *((f"--node-labels={labels}",) if labels else ()),
        *((f"--register-with-taints={taints}",) if taints else ()),
    )
