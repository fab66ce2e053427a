"""kube-controller-manager and kube-scheduler (Kubernetes: their references)."""

from nodes.model import File, Scope, Service
from nodes.secrets import SERVICE_ACCOUNT_KEY
from nodes.v1.apiserver import readiness
from nodes.v1.etcd import CONTROL_PLANE_WEIGHT
from nodes.v1.kubeconfig import kubeconfig, kubeconfig_path

CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
CONTROLLER_MANAGER_PORT = 10257
SCHEDULER_PORT = 10259

_SIGNERS = ("certificatesigningrequest-signing-controller", "certificatesigningrequest-approving-controller")
"""CA keys stay in Vault, so nobody in the cluster can sign: requests are left alone rather than half done."""


def kubeconfigs(scope: Scope) -> tuple[File, ...]:
    """Return the kubeconfigs of both. They use their own machine's API server, which has their version."""
    return tuple(
        kubeconfig(scope.layout, name, scope.server, certificate=name) for name in (CONTROLLER_MANAGER, SCHEDULER)
    )


def controller_manager(scope: Scope) -> Service:
    """Return the controller manager."""
    network = scope.request.cluster.spec.network
    return _component(
        scope,
        CONTROLLER_MANAGER,
        CONTROLLER_MANAGER_PORT,
        f"--controllers=*,{','.join(f'-{signer}' for signer in _SIGNERS)}",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={network.pod_cidr}",
        f"--service-cluster-ip-range={network.service_cidr}",
        f"--root-ca-file={scope.layout.certificate('kubernetes-ca')}",
        f"--service-account-private-key-file={scope.layout.secret(SERVICE_ACCOUNT_KEY)}",
        "--use-service-account-credentials=true",
        # At start each controller asks for an account and a token of its own; with the default of 20 requests a
        # second that takes five seconds, in which the cluster looks ready and does nothing.
        "--kube-api-qps=100",
        "--kube-api-burst=200",
    )


def scheduler(scope: Scope) -> Service:
    """Return the scheduler."""
    return _component(scope, SCHEDULER, SCHEDULER_PORT)


def _component(scope: Scope, name: str, port: int, *own: str) -> Service:
    """Return a component that starts when its API server is ready: it would crash or back off before."""
    return Service(
        name=name,
        argv=(scope.layout.binary(name), *_client(scope, name), *_serving(scope, name, port), *own),
        needs=readiness(scope, scope.server),
        listens=(port,),
        weight=CONTROL_PLANE_WEIGHT,
    )


def _client(scope: Scope, name: str) -> tuple[str, ...]:
    """With one slot there is nobody to elect, and a restart need not wait for the lease of the one before."""
    path = kubeconfig_path(scope.layout, name)
    several = len(scope.request.slots) > 1
    return (
        f"--kubeconfig={path}",
        f"--authentication-kubeconfig={path}",
        f"--authorization-kubeconfig={path}",
        f"--leader-elect={str(several).lower()}",
    )


def _serving(scope: Scope, name: str, port: int) -> tuple[str, ...]:
    layout = scope.layout
    return (
        f"--bind-address={scope.address}",
        f"--secure-port={port}",
        f"--tls-cert-file={layout.certificate(f'{name}-serving')}",
        f"--tls-private-key-file={layout.key(f'{name}-serving')}",
        "--tls-min-version=VersionTLS12",
        f"--client-ca-file={layout.certificate('kubernetes-ca')}",
        "--authentication-skip-lookup=true",  # the CA is at hand, so no request to the API is needed
        "--profiling=false",
    )
