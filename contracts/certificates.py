"""Every certificate of a cluster, in one table that code, documentation and tests share.

Sources: Kubernetes, "PKI certificates and requirements"; for the components' own serving certificates, the
flags ``--tls-cert-file`` of kube-controller-manager and kube-scheduler; for the aggregation layer, "Configure
the Aggregation Layer". Where Kubernetes' page gives ``system:masters`` it also allows a narrower group, which
is taken here: bound by RBAC in the step "Access".
"""

import json
from dataclasses import dataclass
from enum import Flag, auto
from hashlib import sha256

from api.cluster import ClusterSpec
from contracts.context import ClusterContext
from contracts.machines import MachinePlan, MachineRole, control_planes_are_nodes
from contracts.vault import Authority

CLUSTER_ADMINS = "giantnetes:cluster-admins"
"""Group of our own administrators in a guest cluster, bound to cluster-admin."""

KUBELET_API_ADMINS = "giantnetes:kubelet-api-admins"
"""Group of the API server towards kubelets, bound to system:kubelet-api-admin."""

MASTERS = "system:masters"
"""Kubernetes' group that no RBAC rule can restrict; used once per cluster, to bind the groups above."""

USER_FACING_ROLES = {"viewers": "view", "developers": "edit", "admins": "admin"}
"""Groups for people, with the cluster role that each is bound to (Kubernetes: User-facing roles)."""


class Usage(Flag):
    """Extended key usages (RFC 5280, section 4.2.1.12)."""

    SERVER = auto()
    CLIENT = auto()


@dataclass(frozen=True)
class Certificate:
    """A kind of certificate.

    ``holder`` is the role of the machine that makes its key, None for certificates of people and workers. What
    ``of_nodes`` control plane machines hold as well, where they are nodes of their cluster.
    ``common_name`` and ``dns`` may hold ``{machine}`` and ``{domain}``. ``addresses`` names what goes into
    the IP SANs: ``machine``, ``endpoint``, ``service``, ``loopback``. Where each is presented, and what it
    opens, is in ``deploy.docs.access``. What is ``audited`` is shown to API servers, whose audit logs tell of it.
    """

    name: str
    authority: Authority
    common_name: str
    usage: Usage
    holder: MachineRole | None
    purpose: str
    organization: str = ""
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    of_nodes: bool = False
    audited: bool = False

    def subject(self, machine: str) -> str:
        """Return the common name for the machine called ``machine``."""
        return self.common_name.format(machine=machine)

    def dns_names(self, cluster: ClusterContext, machine: MachinePlan) -> list[str]:
        """Return the DNS SANs for a machine."""
        domain, special = cluster.spec.network.cluster_domain, cluster.spec.certificates.special(self.name)
        own = [name.format(machine=machine.name, domain=domain) for name in self.dns]
        return list(dict.fromkeys([*own, *(special.dns_names if special else ())]))

    def ip_addresses(self, cluster: ClusterContext, machine: MachinePlan) -> list[str]:
        """Return the IP SANs for a machine."""
        known = {
            "machine": cluster.address(machine.host),
            "endpoint": cluster.address(cluster.endpoint_host),
            "service": cluster.service_address,
            "loopback": "127.0.0.1",
        }
        return sorted({*(known[kind] for kind in self.addresses), *self.extra_addresses(cluster.spec)})

    def extra_addresses(self, spec: ClusterSpec) -> list[str]:
        """Return the IP SANs that the spec asks for beside its own."""
        special = spec.certificates.special(self.name)
        return special.ip_addresses if special else []

    def ttl_hours(self, spec: ClusterSpec) -> int:
        """Return how long one lives, in hours, whose key is on a machine."""
        special = spec.certificates.special(self.name)
        return (special.ttl_hours if special else 0) or spec.certificates.leaf_ttl_hours


_API_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.{domain}",
    "localhost",
    "{machine}",
)
_CP, _NODE = MachineRole.CONTROL_PLANE, MachineRole.NODE
_BOTH = Usage.SERVER | Usage.CLIENT

CERTIFICATES: dict[str, Certificate] = {
    certificate.name: certificate
    for certificate in (
        Certificate(
            "kube-apiserver",
            Authority.KUBERNETES,
            "kube-apiserver",
            Usage.SERVER,
            _CP,
            "serves the Kubernetes API",
            dns=_API_NAMES,
            addresses=("machine", "endpoint", "service", "loopback"),
        ),
        Certificate(
            "kube-apiserver-kubelet-client",
            Authority.KUBERNETES,
            "kube-apiserver-kubelet-client",
            Usage.CLIENT,
            _CP,
            "the API server towards kubelets",
            organization=KUBELET_API_ADMINS,
        ),
        Certificate(
            "kube-controller-manager",
            Authority.KUBERNETES,
            "system:kube-controller-manager",
            Usage.CLIENT,
            _CP,
            "the controller manager towards the API",
            audited=True,
        ),
        Certificate(
            "kube-controller-manager-serving",
            Authority.KUBERNETES,
            "kube-controller-manager",
            Usage.SERVER,
            _CP,
            "serves the controller manager's health and metrics",
            dns=("localhost", "{machine}"),
            addresses=("machine", "loopback"),
        ),
        Certificate(
            "kube-scheduler",
            Authority.KUBERNETES,
            "system:kube-scheduler",
            Usage.CLIENT,
            _CP,
            "the scheduler towards the API",
            audited=True,
        ),
        Certificate(
            "kube-scheduler-serving",
            Authority.KUBERNETES,
            "kube-scheduler",
            Usage.SERVER,
            _CP,
            "serves the scheduler's health and metrics",
            dns=("localhost", "{machine}"),
            addresses=("machine", "loopback"),
        ),
        Certificate(
            "etcd-server",
            Authority.ETCD,
            "kube-etcd",
            _BOTH,
            _CP,
            "serves etcd; also a client, of itself, for etcd's HTTP gateway",
            dns=("localhost", "{machine}"),
            addresses=("machine", "loopback"),
        ),
        Certificate(
            "etcd-peer",
            Authority.ETCD,
            "kube-etcd-peer",
            _BOTH,
            _CP,
            "between etcd members",
            dns=("localhost", "{machine}"),
            addresses=("machine", "loopback"),
        ),
        Certificate(
            "etcd-healthcheck-client",
            Authority.ETCD,
            "kube-etcd-healthcheck-client",
            Usage.CLIENT,
            None,
            "our probes and verification towards etcd",
        ),
        Certificate(
            "kube-apiserver-etcd-client",
            Authority.ETCD,
            "kube-apiserver-etcd-client",
            Usage.CLIENT,
            _CP,
            "the API server towards etcd",
        ),
        Certificate(
            "front-proxy-client",
            Authority.FRONT_PROXY,
            "front-proxy-client",
            Usage.CLIENT,
            _CP,
            "the API server towards aggregated API servers",
        ),
        Certificate(
            "kubelet",
            Authority.KUBERNETES,
            "system:node:{machine}",
            Usage.SERVER,
            _NODE,
            "serves the kubelet's API",
            organization="system:nodes",
            dns=("{machine}",),
            addresses=("machine",),
            of_nodes=True,
        ),
        Certificate(
            "kubelet-client",
            Authority.KUBERNETES,
            "system:node:{machine}",
            Usage.CLIENT,
            _NODE,
            "the kubelet towards the API",
            organization="system:nodes",
            of_nodes=True,
            audited=True,
        ),
        Certificate(
            "admin",
            Authority.KUBERNETES,
            "kubernetes-admin",
            Usage.CLIENT,
            None,
            "our activities towards the API",
            organization=CLUSTER_ADMINS,
        ),
        Certificate(
            "super-admin",
            Authority.KUBERNETES,
            "kubernetes-super-admin",
            Usage.CLIENT,
            None,
            "binds groups to roles, once, before any binding exists",
            organization=MASTERS,
        ),
    )
}
"""All certificates by name. Certificates of people are made on request and have no fixed name."""


def held_by(role: MachineRole, provider: str) -> list[Certificate]:
    """Return the certificates whose keys are made on machines of a role."""
    of_nodes = role is _CP and control_planes_are_nodes(provider)
    return [kind for kind in CERTIFICATES.values() if kind.holder is role or (kind.of_nodes and of_nodes)]


def wanted(certificate: Certificate, cluster: ClusterContext, machine: MachinePlan) -> str:
    """Return a digest of all that a machine's certificate is to say, and for how long it is to live."""
    said = [
        certificate.subject(machine.name),
        certificate.organization,
        certificate.usage.value,
        certificate.dns_names(cluster, machine),
        certificate.ip_addresses(cluster, machine),
        certificate.ttl_hours(cluster.spec),
    ]
    return sha256(json.dumps(said).encode()).hexdigest()[:16]
