"""A machine that runs workloads: the kubelet, with containerd where containers are real."""

from contracts.machines import MachinePlan
from contracts.vault import Authority
from nodes.model import MachineConfig, Parts, Scope, Service
from nodes.v1.apiserver import presence
from nodes.v1.containers import containerd, runtime_files, runtime_folders
from nodes.v1.kubeconfig import kubeconfig, kubeconfig_path
from nodes.v1.kubelet import KUBELET, KUBELET_PORT, kubelet, kubelet_config, labels
from nodes.v1.network import felix, flannel, kube_proxy, network_files, network_folders
from nodes.v1.trust import authority_file, held_certificates


def node(scope: Scope) -> MachineConfig:
    """Return a node of a pool."""
    parts = node_parts(scope)
    return MachineConfig(
        address=scope.address,
        folders=(scope.layout.config, scope.layout.logs, *parts.folders),
        files=parts.files,
        services=parts.services,
        certificates=held_certificates(scope.request),
        authorities=(authority_file(Authority.KUBERNETES),),
    )


def node_parts(scope: Scope) -> Parts:
    """Return the kubelet, and what it needs where containers are real."""
    layout, client = (
        scope.layout,
        kubeconfig(scope.layout, KUBELET, scope.request.cluster.endpoint, "kubelet-client"),
    )
    if not scope.runs_containers:
        return Parts(files=(client,), services=(_hollow_kubelet(scope),))
    return Parts(
        folders=(*runtime_folders(layout), *network_folders()),
        files=(client, kubelet_config(scope), *runtime_files(scope), *network_files(scope)),
        services=(
            containerd(layout),
            kubelet(scope),
            flannel(scope),
            felix(scope),
            kube_proxy(scope),
        ),
    )


def _hollow_kubelet(scope: Scope) -> Service:
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
            *labels(machine),
            *_taints(machine),
        ),
        needs=presence(scope, cluster.endpoint),
        listens=(KUBELET_PORT,),
    )


def _taints(machine: MachinePlan) -> tuple[str, ...]:
    taints = ",".join(f"{taint.key}={taint.value}:{taint.effect}" for taint in machine.taints)
    return (f"--register-with-taints={taints}",) if taints else ()
