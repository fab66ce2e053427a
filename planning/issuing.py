"""When the certificate of a cluster's client is issued anew and why, and what it may not say. Pure."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address, ip_network

from api.certificate import CertificateSpec
from api.model import RESERVED_PREFIXES
from contracts.certificates import CERTIFICATES, USER_FACING_ROLES
from contracts.context import ClusterContext
from contracts.issuing import HeldCertificate
from planning.create import machine_groups

DAY = timedelta(days=1)
_SAID = {"common_name", "organizations", "dns_names", "ip_addresses", "ttl_hours"}


def wanted(spec: CertificateSpec) -> str:
    """Return a digest of all that a certificate is to say, and for how long it is to live."""
    return sha256(json.dumps(spec.model_dump(include=_SAID), sort_keys=True).encode()).hexdigest()[:16]


def renewal_time(spec: CertificateSpec, not_after: datetime) -> datetime | None:
    """Return when a certificate is renewed that ends at ``not_after``; None when it is left to end.

    After a day, as all others are, or half of a life that is shorter than two.
    """
    if spec.disable_renewal:
        return None
    life = timedelta(hours=spec.ttl_hours)
    return not_after - life + min(DAY, life / 2)


def due(spec: CertificateSpec, held: HeldCertificate | None, authority: str, now: datetime) -> str:
    """Return why a certificate is to be issued at ``now``, the first reason of a chain; empty when it is not."""
    if held is None:
        return "there is none that fits its key"
    renewed_at = renewal_time(spec, held.not_after)
    rules: tuple[tuple[bool, str], ...] = (
        (held.authority.strip() != authority.strip(), "the cluster has another authority"),
        (held.wanted != wanted(spec), "the spec changed"),
        (renewed_at is not None and held.not_after <= now, "it has ended"),
        (renewed_at is not None and renewed_at <= now, "its time has come"),
    )
    return next((reason for applies, reason in rules if applies), "")


def problems(spec: CertificateSpec, cluster: ClusterContext) -> list[str]:
    """Return a sentence for all that a client of ``cluster`` may not be called, none when it may be.

    Whoever had a certificate for the API's names or addresses could pass for the API.
    """
    machines = [machine for group in machine_groups(cluster.spec).values() for machine in group]
    holders = [(kind, machine) for kind in CERTIFICATES.values() for machine in machines]
    subjects = {kind.subject(machine.name) for kind, machine in holders}
    taken = {name for kind, machine in holders for name in kind.dns_names(cluster, machine)}
    addresses = {each for kind, machine in holders for each in kind.ip_addresses(cluster, machine)}
    found = [f"commonName: {spec.common_name} is one of the cluster's own"] if spec.common_name in subjects else []
    found += _reserved(spec)
    found += [f"dnsNames: {name} is the cluster's own" for name in overlapping(spec.dns_names, taken)]
    found += [
        f"ipAddresses: {each} is the cluster's own"
        for each in spec.ip_addresses
        if each in addresses or _is_own(each, cluster)
    ]
    return found


def _reserved(spec: CertificateSpec) -> Iterator[str]:
    """Yield what no client may be called, of whatever cluster."""
    if spec.machine:
        yield f"machine: the certificates of {spec.machine} are shown only"
    if ":" in spec.common_name:
        yield f"commonName: {spec.common_name} is a component's, or that of a login by OIDC"
    for name in spec.organizations:
        if name.startswith(RESERVED_PREFIXES):
            yield f"organizations: {name} is reserved"
        elif name in USER_FACING_ROLES:
            yield f"organizations: {name} are people, who get an hour at most: bind a role to a group of its own"


def overlapping(names: Iterable[str], taken: Iterable[str]) -> list[str]:
    """Return which names are among those that are taken, or match one: a wildcard is one label (RFC 6125)."""
    others = list(taken)
    return [name for name in names if any(_matches(name, other) or _matches(other, name) for other in others)]


def _matches(pattern: str, name: str) -> bool:
    if pattern == name:
        return True
    first, _, rest = pattern.partition(".")
    return first == "*" and name.partition(".")[2] == rest


def _is_own(address: str, cluster: ClusterContext) -> bool:
    known = ip_address(address)
    known = getattr(known, "ipv4_mapped", None) or known
    network = ip_network(cluster.machine_network)
    return known.is_loopback or known in network or str(known) == cluster.service_address
