"""A machine that runs workloads: the kubelet, with containerd where containers are real."""

from contracts.machines import MachinePlan, MachineRole
from contracts.vault import Authority
from nodes.model import MachineConfig, Scope, Service
from nodes.v1.apiserver import presence
from nodes.v1.containers import containerd, images, runtime_files, runtime_folders
from nodes.v1.kubeconfig import kubeconfig, kubeconfig_path
from nodes.v1.kubelet import KUBELET, KUBELET_PORT, kubelet, kubelet_config, labels
from nodes.v1.network import felix, flannel, network_files, network_folders
from nodes.v1.trust import authority_file, held_certificates


def node(scope: Scope) -> MachineConfig:
    """Return a node of a pool."""
    layout = scope.layout
    folders = [layout.config, layout.logs]
    files = [kubeconfig(layout, KUBELET, scope.request.cluster.endpoint, "kubelet-client")]
    services = [_hollow_kubelet(scope)]
    if scope.runs_containers:
        folders += [*runtime_folders(layout), *network_folders()]
        files += [kubelet_config(scope), *runtime_files(scope), *network_files(scope)]
        services = [containerd(layout), *images(scope), kubelet(scope), flannel(scope), felix(scope)]
    return MachineConfig(
        address=scope.address,
        folders=tuple(folders),
        files=tuple(files),
        services=tuple(services),
        certificates=held_certificates(MachineRole.NODE),
        authorities=(authority_file(Authority.KUBERNETES),),
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
