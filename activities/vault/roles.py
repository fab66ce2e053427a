"""Roles of a cluster's CAs, as narrow as Vault and OpenBao can make them. Pure.

A role decides everything but the public key: the subject's organisation, usages, lifetime; and which of the
planned names may be asked for. OpenBao checks the common name and the DNS SANs against one list,
``allowed_domains``, so that list holds the certificate's own names and nothing else. The check on common
names stays on (``cn_validations``): switched off, a role for one component would sign the name of any other.
"""

import hashlib
from ipaddress import ip_network

from contracts.certificates import CERTIFICATES, Certificate, Usage
from contracts.context import ClusterContext
from contracts.issuing import ClientSigningRequest
from contracts.machines import MachinePlan, MachineRole, control_planes_are_nodes
from contracts.model import WireModel
from contracts.vault import Authority, UserCertificateRequest
from planning.create import CONTROL_PLANE, machine_groups

Role = dict[str, object]

ROOT = "root"
"""Name of the one issuer of a mount, and of its key."""

USER_TTL_SECONDS = 3600
SHORT_TTL_SECONDS = dict.fromkeys(("admin", "etcd-healthcheck-client", "super-admin"), 600)
"""Longest lifetimes of our own client certificates, whose keys live in a worker's memory."""

BACKDATED = "1h"
"""How far certificates begin in the past, for machines whose clocks are behind."""

_COMMON: Role = {
    "issuer_ref": ROOT,
    "key_type": "ec",
    "key_bits": 256,
    "key_usage": ["DigitalSignature"],
    "use_csr_common_name": False,
    "use_csr_sans": False,
    "require_cn": True,
    "enforce_hostnames": False,
    "allow_any_name": False,
    "allow_bare_domains": True,
    "allow_subdomains": False,
    "allow_glob_domains": False,
    "allow_localhost": False,
    "allow_wildcard_certificates": False,
    "allow_ip_sans": False,
    "no_store": True,
    "not_before_duration": BACKDATED,
    "not_before_bound": "forbid",
    "not_after_bound": "forbid",
}


def authority_roles(cluster: ClusterContext, authority: Authority) -> dict[str, Role]:
    """Return the roles of one CA by name: one for each of its certificates, of the same name.

    They follow the spec: control plane slots and node pools by name, networks, lifetimes. So an operation
    that adds a pool or a slot ensures the authorities first.
    """
    return {
        name: _certificate_role(certificate, cluster)
        for name, certificate in CERTIFICATES.items()
        if certificate.authority is authority
    }


def user_role(request: UserCertificateRequest) -> tuple[str, Role]:
    """Return name and content of the role for one request: its user, groups and lifetime, and no others.

    The name follows from the request, so that another attempt finds the role of one that was cut short.
    """
    return _own_name(request), {
        **_COMMON,
        "organization": sorted(request.groups),
        "allowed_domains": [request.user],
        "client_flag": True,
        "server_flag": False,
        **_lifetime(request.ttl_seconds),
    }


def client_role(request: ClientSigningRequest) -> tuple[str, Role]:
    """Return name and content of the role for one certificate of a cluster's client, and for no other.

    Who has a name of DNS or an address is a server too.
    """
    spec = request.spec
    names = [spec.common_name, *spec.dns_names]
    return _own_name(request), {
        **_COMMON,
        "organization": sorted(spec.organizations),
        "allowed_domains": names,
        "allow_wildcard_certificates": any("*" in name for name in spec.dns_names),
        "allow_ip_sans": bool(spec.ip_addresses),
        "allowed_ip_sans_cidr": [str(ip_network(address)) for address in spec.ip_addresses],
        "client_flag": True,
        "server_flag": bool(spec.dns_names or spec.ip_addresses),
        **_lifetime(spec.ttl_hours * 3600),
    }


def _own_name(request: WireModel) -> str:
    return f"user-{hashlib.sha256(request.model_dump_json().encode()).hexdigest()[:20]}"


def root_params(cluster_id: str) -> Role:
    """Return the parameters of a CA: ten years, P-256, signs leaves only, called ``ROOT`` once per mount."""
    return {
        "organization": cluster_id,
        "key_type": "ec",
        "key_bits": 256,
        "ttl": ROOT_TTL,
        "max_path_length": 0,
        "not_before_duration": BACKDATED,
        "issuer_name": ROOT,
        "key_name": ROOT,
    }


ROOT_TTL = "87600h"
"""Ten years; the mount's own limit has to be raised to it before the CA is made."""


def _certificate_role(certificate: Certificate, cluster: ClusterContext) -> Role:
    names = _names(certificate, cluster)
    ranges = _ranges(certificate, cluster)
    seconds = SHORT_TTL_SECONDS.get(certificate.name, certificate.ttl_hours(cluster.spec) * 3600)
    return {
        **_COMMON,
        "organization": [certificate.organization] if certificate.organization else [],
        "allowed_domains": names,
        "allow_glob_domains": any("*" in name for name in names),
        "allow_ip_sans": bool(ranges),
        "allowed_ip_sans_cidr": ranges,
        "client_flag": Usage.CLIENT in certificate.usage,
        "server_flag": Usage.SERVER in certificate.usage,
        **_lifetime(seconds),
    }


def _lifetime(seconds: int) -> Role:
    return {"ttl": f"{seconds}s", "max_ttl": f"{seconds}s"}


def _names(certificate: Certificate, cluster: ClusterContext) -> list[str]:
    """Return the common names and DNS SANs of a certificate on each machine that may hold it."""
    machines = _machines(certificate, cluster)
    subjects = {certificate.subject(machine.name) for machine in machines}
    names = {name for machine in machines for name in certificate.dns_names(cluster, machine)}
    return sorted(subjects | names)


def _machines(certificate: Certificate, cluster: ClusterContext) -> list[MachinePlan]:
    """Return the holders: slots one by one, nodes as one pattern for each pool, which grows and shrinks."""
    slots = machine_groups(cluster.spec)[CONTROL_PLANE]
    if certificate.holder is not MachineRole.NODE:
        return slots
    pools = [MachinePlan(name=f"{pool.name}-*", role=MachineRole.NODE, host=0) for pool in cluster.spec.node_pools]
    return pools + (slots if control_planes_are_nodes(cluster.spec.provider) else [])


def _ranges(certificate: Certificate, cluster: ClusterContext) -> list[str]:
    """Return the ranges that a certificate's IP SANs may come from."""
    known = {
        "machine": cluster.machine_network,
        "endpoint": cluster.machine_network,
        "service": f"{cluster.service_address}/32",
        "loopback": "127.0.0.1/32",
    }
    extra = {str(ip_network(address)) for address in certificate.extra_addresses(cluster.spec)}
    return sorted({known[kind] for kind in certificate.addresses} | extra)
