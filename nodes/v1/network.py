"""Pods' network on nodes with real containers: Flannel between machines, Calico's plugin and Felix on each one.

Machines of a cluster share a layer-2 network, so Flannel only sets routes (backend ``host-gw``) and nothing is
encapsulated. Felix enforces NetworkPolicies. This is what the Calico documentation calls Canal, without the pods
that usually carry it: all three are programs of the release disk, and use the kubelet's own client certificate.
"""

import json

from nodes.model import File, Layout, Scope, Service
from nodes.v1.apiserver import presence
from nodes.v1.kubeconfig import kubeconfig_path

KUBELET_CONFIG = "kubelet"
"""The kubeconfig that all of them use. RBAC gives nodes what they read (template ``network`` of the add-ons)."""

CNI_FOLDER = "/etc/cni/net.d"
NODE_NAME = "/var/lib/calico/nodename"
"""Where Calico's plugin looks for the name of the node."""


def network_folders() -> tuple[str, ...]:
    """Return the folders that the network's files are in."""
    return (CNI_FOLDER, "/var/lib/calico")


def network_files(scope: Scope) -> tuple[File, ...]:
    """Return what tells the plugins and Flannel what to do."""
    return (
        File(f"{CNI_FOLDER}/10-calico.conflist", _plugins(scope)),
        File(NODE_NAME, scope.request.machine.name),
        File(_flannel_path(scope.layout), _flannel_config(scope)),
    )


def flannel(scope: Scope) -> Service:
    """Return what tells the kernel which machine has which pods, and hides pods from the outside (flannel)."""
    machine, endpoint = scope.request.machine, scope.request.cluster.endpoint
    return Service(
        name="flannel",
        argv=(
            scope.layout.binary("flannel"),
            "--kube-subnet-mgr",
            f"--kubeconfig-file={kubeconfig_path(scope.layout, KUBELET_CONFIG)}",
            f"--net-config-path={_flannel_path(scope.layout)}",
            f"--iface={scope.address}",
            "--ip-masq",
        ),
        environment={"NODE_NAME": machine.name, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        needs=presence(scope, endpoint),
    )


def felix(scope: Scope) -> Service:
    """Return what enforces NetworkPolicies (Calico: "Configuring Felix")."""
    settings = {
        "DATASTORETYPE": "kubernetes",
        "FELIXHOSTNAME": scope.request.machine.name,
        "IPV6SUPPORT": "false",
        "DEFAULTENDPOINTTOHOSTACTION": "ACCEPT",
        "IPTABLESBACKEND": "NFT",
        "BPFENABLED": "false",
        "USAGEREPORTINGENABLED": "false",
        "LOGFILEPATH": "none",
        "LOGSEVERITYSCREEN": "Warning",
        "LOGSEVERITYSYS": "none",
    }
    return Service(
        name="felix",
        argv=(scope.layout.binary("calico-felix"),),
        environment={
            **{f"FELIX_{name}": value for name, value in settings.items()},
            "KUBECONFIG": kubeconfig_path(scope.layout, KUBELET_CONFIG),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
        needs=presence(scope, scope.request.cluster.endpoint),
    )


def _plugins(scope: Scope) -> str:
    calico = {
        "type": "calico",
        "datastore_type": "kubernetes",
        "nodename": scope.request.machine.name,
        "ipam": {"type": "host-local", "subnet": "usePodCidr"},
        "policy": {"type": "k8s"},
        "kubernetes": {"kubeconfig": kubeconfig_path(scope.layout, KUBELET_CONFIG)},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return json.dumps({"cniVersion": "0.3.1", "name": "pods", "plugins": [calico, ports]}, indent=1)


def _flannel_config(scope: Scope) -> str:
    network = scope.request.cluster.spec.network.pod_cidr
    return json.dumps({"Network": network, "Backend": {"Type": "host-gw"}}, indent=1)


def _flannel_path(layout: Layout) -> str:
    return f"{layout.config}/flannel.json"
