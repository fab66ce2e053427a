"""The kubelet (Kubernetes: "Kubelet Configuration (v1beta1)", "Kubelet authentication/authorization")."""

import yaml

from api.cluster import Taint
from contracts.machines import MachinePlan, MachineRole
from nodes.model import File, Layout, Scope, Service
from nodes.v1.apiserver import presence
from nodes.v1.containers import CONTAINERD, SOCKET
from nodes.v1.kubeconfig import kubeconfig_path

KUBELET = "kubelet"
KUBELET_PORT = 10250


def kubelet(scope: Scope) -> Service:
    """Return the kubelet. It starts when there is an API, which it would else back off from for seconds.

    And when containerd knows the release's images: one that it once tried to pull it never believes to have been
    preloaded, and pulls again (Kubernetes: "Images", credential verification), from a registry that need not be.
    """
    layout, cluster, machine = scope.layout, scope.request.cluster, scope.request.machine
    return Service(
        name=KUBELET,
        argv=(
            layout.binary(KUBELET),
            f"--config={_path(layout)}",
            f"--kubeconfig={kubeconfig_path(layout, KUBELET)}",
            f"--hostname-override={machine.name}",
            f"--node-ip={scope.address}",
            "--cloud-provider=external",  # who made the machine tells where it is, and lets pods in
            f"--root-dir={layout.scratch}/kubelet",
            *labels(machine),
        ),
        environment=layout.environment(),
        needs=presence(scope, cluster.endpoint),
        listens=(KUBELET_PORT,),
        after=(CONTAINERD,),
        starts_containers=True,
    )


def labels(machine: MachinePlan) -> tuple[str, ...]:
    """Return the option for the labels that a node registers with; none when there are none."""
    listed = ",".join(f"{key}={value}" for key, value in sorted(machine.labels.items()))
    return (f"--node-labels={listed}",) if listed else ()


def kubelet_config(scope: Scope) -> File:
    """Return the kubelet's configuration: nobody is let in without a certificate, and then only as RBAC says."""
    layout, cluster = scope.layout, scope.request.cluster
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": scope.address,
        "port": KUBELET_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": layout.certificate("kubernetes-ca")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": layout.certificate(KUBELET),
        "tlsPrivateKeyFile": layout.key(KUBELET),
        "tlsMinVersion": "VersionTLS12",
        "rotateCertificates": False,  # they come from Vault, as the guest holds no CA's key
        "cgroupDriver": "systemd",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "protectKernelDefaults": True,
        "podLogsDir": f"{layout.scratch}/log/pods",
        "resolvConf": "/run/systemd/resolve/resolv.conf",
        "clusterDNS": [cluster.dns_address],
        "clusterDomain": cluster.spec.network.cluster_domain,
        "registerWithTaints": [taint.model_dump() for taint in _taints(scope.request.machine)],
    }
    return File(_path(layout), yaml.safe_dump(document, sort_keys=False))


def _taints(machine: MachinePlan) -> list[Taint]:
    """Control plane machines are left to what tolerates them (Kubernetes: "Well-Known Labels, Annotations")."""
    if machine.role is MachineRole.CONTROL_PLANE:
        return [Taint(key="node-role.kubernetes.io/control-plane", effect="NoSchedule")]
    return machine.taints


def _path(layout: Layout) -> str:
    return f"{layout.config}/kubelet.yaml"
