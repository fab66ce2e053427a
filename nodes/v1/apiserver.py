"""kube-apiserver (Kubernetes: "kube-apiserver" reference, "Securing a Cluster")."""

from ipaddress import ip_address

from contracts.certificates import CERTIFICATES
from nodes.model import Layout, Need, Scope, Service
from nodes.secrets import ENCRYPTION_CONFIG, SERVICE_ACCOUNT_KEY
from nodes.v1.endpoint import has_virtual_address
from nodes.v1.etcd import CLIENT_PORT, CONTROL_PLANE_WEIGHT
from nodes.v1.policies import audit_policy_path, authentication_path

AUDIT_BACKUPS = 5


def apiserver(scope: Scope) -> Service:
    """Return the API server, which speaks to the etcd member of its own machine."""
    return Service(
        name="kube-apiserver",
        argv=(
            scope.layout.binary("kube-apiserver"),
            *_addresses(scope),
            *_serving(scope.layout),
            *_access(scope.layout),
            *_storage(scope),
            *_kubelets(scope.layout),
            *_aggregation(scope),
            *_service_accounts(scope),
            *_audit(scope),
            *_feature_gates(scope),
        ),
        environment=_garbage_collection(scope),
        listens=(scope.port,),
        weight=CONTROL_PLANE_WEIGHT,
    )


def readiness(scope: Scope, server: str) -> Need:
    """Return when the API at ``server`` is ready, its bootstrap roles included."""
    return Need(f"{server}/readyz", scope.layout.certificate("kubernetes-ca"))


def presence(scope: Scope, server: str) -> Need:
    """Return when the API at ``server`` takes requests at all."""
    return Need(f"{server}/livez", scope.layout.certificate("kubernetes-ca"), ready=False)


def _addresses(scope: Scope) -> tuple[str, ...]:
    """Kubernetes takes no loopback address as an endpoint, so where machines have one nothing is reconciled.

    The service ``kubernetes`` then has no endpoints, which only pods would use. A made-up address would keep
    the reconciler, but API servers reach each other by the advertised one.

    An address that machines share comes and goes, so that nobody can bind to it alone.
    """
    reconciler = "none" if ip_address(scope.address).is_loopback else "lease"
    bound = "0.0.0.0" if has_virtual_address(scope) else scope.address  # noqa: S104 - a machine of its own
    return (
        f"--bind-address={bound}",
        f"--advertise-address={scope.address}",
        f"--secure-port={scope.port}",
        f"--endpoint-reconciler-type={reconciler}",
        f"--service-cluster-ip-range={scope.request.cluster.spec.network.service_cidr}",
    )


def _serving(layout: Layout) -> tuple[str, ...]:
    return (
        f"--tls-cert-file={layout.certificate('kube-apiserver')}",
        f"--tls-private-key-file={layout.key('kube-apiserver')}",
        "--tls-min-version=VersionTLS12",
        "--profiling=false",
    )


def _access(layout: Layout) -> tuple[str, ...]:
    return (
        f"--client-ca-file={layout.certificate('kubernetes-ca')}",
        f"--authentication-config={authentication_path(layout)}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",  # kube-proxy's pods are; so may be everyone's
    )


def _storage(scope: Scope) -> tuple[str, ...]:
    layout, client = scope.layout, "kube-apiserver-etcd-client"
    return (
        f"--etcd-servers=https://{scope.address}:{CLIENT_PORT}",
        f"--etcd-cafile={layout.certificate('etcd-ca')}",
        f"--etcd-certfile={layout.certificate(client)}",
        f"--etcd-keyfile={layout.key(client)}",
        f"--encryption-provider-config={layout.secret(ENCRYPTION_CONFIG)}",
    )


def _kubelets(layout: Layout) -> tuple[str, ...]:
    client = "kube-apiserver-kubelet-client"
    return (
        f"--kubelet-certificate-authority={layout.certificate('kubernetes-ca')}",
        f"--kubelet-client-certificate={layout.certificate(client)}",
        f"--kubelet-client-key={layout.key(client)}",
        "--kubelet-preferred-address-types=InternalIP",  # the one kind that kubelets' certificates carry
    )


def _aggregation(scope: Scope) -> tuple[str, ...]:
    layout, client = scope.layout, "front-proxy-client"
    return (
        f"--requestheader-client-ca-file={layout.certificate('front-proxy-ca')}",
        f"--requestheader-allowed-names={CERTIFICATES[client].subject(scope.request.machine.name)}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={layout.certificate(client)}",
        f"--proxy-client-key-file={layout.key(client)}",
    )


def _service_accounts(scope: Scope) -> tuple[str, ...]:
    key = scope.layout.secret(SERVICE_ACCOUNT_KEY)
    return (
        f"--service-account-issuer=https://kubernetes.default.svc.{scope.request.cluster.spec.network.cluster_domain}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
    )


def _audit(scope: Scope) -> tuple[str, ...]:
    audit = scope.request.cluster.spec.api_server.audit
    return (
        f"--audit-policy-file={audit_policy_path(scope.layout)}",
        f"--audit-log-path={scope.layout.logs}/audit.log",
        f"--audit-log-maxage={audit.max_age_days}",
        f"--audit-log-maxsize={audit.max_size_mib}",
        f"--audit-log-maxbackup={AUDIT_BACKUPS}",
    )


def _feature_gates(scope: Scope) -> tuple[str, ...]:
    gates = scope.request.cluster.spec.api_server.feature_gates
    listed = ",".join(f"{name}={str(on).lower()}" for name, on in sorted(gates.items()))
    return (f"--feature-gates={listed}",) if listed else ()


def _garbage_collection(scope: Scope) -> dict[str, str]:
    """Collect garbage less often while there is memory: a third less CPU until ready, for 100 MiB more.

    The limit (Go: "A Guide to the Go Garbage Collector") leaves half of the machine to others, but never less
    than an idle API server needs.
    """
    return {"GOGC": "400", "GOMEMLIMIT": f"{max(scope.request.machine.size.memory_mib // 2, 512)}MiB"}
