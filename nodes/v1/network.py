"""The network of nodes with real containers: Flannel, Calico's plugin and Felix for pods, kube-proxy for services.

Machines of a cluster share a layer-2 network, so Flannel only sets routes (backend ``host-gw``) and nothing is
encapsulated. Felix enforces NetworkPolicies. This is what the Calico documentation calls Canal, without the pods
that usually carry it: all are programs of the release disk, and use the kubelet's own client certificate.
"""

import json

import yaml

from nodes.model import SYSTEM_PATH, File, Layout, Scope, Service
from nodes.v1.apiserver import readiness
from nodes.v1.kubeconfig import kubeconfig_path

KUBELET_CONFIG = "kubelet"
"""The kubeconfig that all of them use. RBAC gives nodes what they read (template ``network`` of the add-ons)."""

RESTART_SECONDS = 10
"""They end while the API refuses them, as it does before the add-ons' roles are there, and are slow to start."""

RESYNC_SECONDS = 60
"""How often Flannel looks at rules that nobody else changes; its 5 s keep a small machine busy."""

PROXY_HEALTH_PORT = 10256
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
        File(_proxy_path(scope.layout), _proxy_config(scope)),
    )


def kube_proxy(scope: Scope) -> Service:
    """Return what leads services' addresses to pods (Kubernetes: "kube-proxy Configuration (v1alpha1)")."""
    return Service(
        name="kube-proxy",
        argv=(scope.layout.binary("kube-proxy"), f"--config={_proxy_path(scope.layout)}"),
        environment={"PATH": _path(scope)},
        needs=readiness(scope, scope.request.cluster.endpoint),
        restart_seconds=RESTART_SECONDS,
        listens=(PROXY_HEALTH_PORT,),
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
            f"--iptables-resync={RESYNC_SECONDS}",
        ),
        environment={"NODE_NAME": machine.name, "PATH": _path(scope)},
        needs=readiness(scope, endpoint),
        restart_seconds=RESTART_SECONDS,
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
        "XDPENABLED": "false",
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
            "USE_POD_CIDR": "true",  # addresses are host-local's, and Calico's own are not to be looked for
            "KUBECONFIG": kubeconfig_path(scope.layout, KUBELET_CONFIG),
            "PATH": _path(scope),
        },
        needs=readiness(scope, scope.request.cluster.endpoint),
        restart_seconds=RESTART_SECONDS,
    )


def _path(scope: Scope) -> str:
    """Return where nft, iptables, ipset and ip are found."""
    return scope.layout.search_path(SYSTEM_PATH)


def _plugins(scope: Scope) -> str:
    calico = {
        "type": "calico",
        "mtu": scope.request.cluster.placements.mtu,
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


def _proxy_config(scope: Scope) -> str:
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": scope.address,
        "healthzBindAddress": f"{scope.address}:{PROXY_HEALTH_PORT}",
        "hostnameOverride": scope.request.machine.name,
        "clusterCIDR": scope.request.cluster.spec.network.pod_cidr,
        "clientConnection": {"kubeconfig": kubeconfig_path(scope.layout, KUBELET_CONFIG)},
    }
    return yaml.safe_dump(document, sort_keys=False)


def _proxy_path(layout: Layout) -> str:
    return f"{layout.config}/kube-proxy.yaml"


def _flannel_path(layout: Layout) -> str:
    return f"{layout.config}/flannel.json"
