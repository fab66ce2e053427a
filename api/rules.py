"""What a new cluster's spec must keep beyond the shape of its fields. Pure: the same rule for all who ask.

The models can't say it: they also read histories and registry entries, where a rule that came later would end
living runs. So planning asks this for clusters that don't exist yet, and nobody asks it for those that do, but the
API server where somebody changes such a field.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import chain

from cryptography import x509

from api.cluster import OUR_LABEL, ClusterSpec, NodePool
from api.model import RESERVED_PREFIXES
from api.network import apart

MACHINE_PORTS = {
    2379: "etcd",
    2380: "etcd",
    2381: "etcd",
    10248: "kubelet",
    10249: "kube-proxy",
    10250: "kubelet",
    10255: "kubelet",
    10256: "kube-proxy",
    10257: "kube-controller-manager",
    10259: "kube-scheduler",
}
"""Ports of a machine's own programs (Kubernetes: Ports and Protocols), with whose they are."""

NODE_MASK = 24
"""Prefix of a node's range of pod addresses (kube-controller-manager's --node-cidr-mask-size-ipv4)."""

MAX_MASK_DIFFERENCE = 16
"""Bits that the pods' range may be wider than a node's; kube-controller-manager ends itself beyond that."""

VIRTUAL_MACHINES = "10.32.0.0/11"
"""Where the networks of virtual machines are taken from (``planning.claims.PRIVATE``)."""

VIRTUAL_MEMORY_MIB = {"controlPlane": 2048, "node": 1024}
"""With less a virtual machine starts to end its programs: a quarter of it holds what a boot writes."""

_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""As Kubernetes takes them before a slash (apimachinery's IsDNS1123Subdomain): its parts may be of any length."""


def schema_rules() -> list[tuple[str, str]]:
    """Return the rules of ``faults`` in CEL for the schema of a spec, each with its message.

    Those of labels and taints stand with their models; what CEL can't read, certificates, is left to ``faults``.
    """
    pods, widest = "cidr(self.network.podCIDR).prefixLength()", NODE_MASK - MAX_MASK_DIFFERENCE
    room = [2 ** (NODE_MASK - prefix) for prefix in range(widest, NODE_MASK + 1)]
    nodes = "self.nodePools.map(pool, pool.replicas).sum()"
    return [
        (f"!(self.network.apiPort in {list(MACHINE_PORTS)})", "network.apiPort is a program's of the machines"),
        (f"{pods} >= {widest}", f"network.podCIDR: the prefix must be /{widest} or longer"),
        (
            f"{pods} < {widest} || {pods} > {NODE_MASK} || {nodes} <= {room}[{pods} - {widest}]",
            f"network.podCIDR: has no room for a /{NODE_MASK} for each node",
        ),
        *((f"self.provider != 'libvirt' || {rule}", message) for rule, message in _virtual_schema_rules()),
    ]


def _virtual_schema_rules() -> Iterator[tuple[str, str]]:
    for field in ("podCIDR", "serviceCIDR"):
        message = f"network.{field}: overlaps {VIRTUAL_MACHINES}, where virtual machines live"
        yield apart(f"self.network.{field}", repr(VIRTUAL_MACHINES)), message
    message = "machine.memoryMiB: a virtual machine of the {} needs {} at least"
    least = VIRTUAL_MEMORY_MIB["controlPlane"]
    yield f"self.controlPlane.machine.memoryMiB >= {least}", message.format("control plane", least)
    least = VIRTUAL_MEMORY_MIB["node"]
    yield f"self.nodePools.all(pool, pool.machine.memoryMiB >= {least})", message.format("nodes", least)


def faults(spec: ClusterSpec) -> list[str]:
    """Return a sentence for every fault, each begun by its field; none when such a cluster can be made."""
    pools = chain.from_iterable(_pool(index, pool) for index, pool in enumerate(spec.node_pools))
    virtual = _virtual(spec) if spec.provider == "libvirt" else ()
    return [*_network(spec), *_oidc(spec), *pools, *virtual]


def _virtual(spec: ClusterSpec) -> Iterator[str]:
    network, control_plane = spec.network, spec.control_plane
    for field, value in (("podCIDR", network.pod_cidr), ("serviceCIDR", network.service_cidr)):
        if ip_network(value).overlaps(ip_network(VIRTUAL_MACHINES)):
            yield f"spec.network.{field}: {value} overlaps {VIRTUAL_MACHINES}, where virtual machines live"
    if control_plane.machine.memory_mib < (least := VIRTUAL_MEMORY_MIB["controlPlane"]):
        yield f"spec.controlPlane.machine.memoryMiB: a virtual machine needs {least} at least"
    for index, pool in enumerate(spec.node_pools):
        if pool.machine.memory_mib < (least := VIRTUAL_MEMORY_MIB["node"]):
            yield f"spec.nodePools.{index}.machine.memoryMiB: a virtual machine needs {least} at least"


def _network(spec: ClusterSpec) -> Iterator[str]:
    network, path = spec.network, "spec.network"
    for field, value in (("podCIDR", network.pod_cidr), ("serviceCIDR", network.service_cidr)):
        if str(ip_network(value)) != value:
            yield f"{path}.{field}: write it as {ip_network(value)}"
    if holder := MACHINE_PORTS.get(network.api_port):
        yield f"{path}.apiPort: {network.api_port} is {holder}'s own"
    prefix, nodes = ip_network(network.pod_cidr).prefixlen, sum(pool.replicas for pool in spec.node_pools)
    if prefix < NODE_MASK - MAX_MASK_DIFFERENCE:
        yield f"{path}.podCIDR: the prefix must be /{NODE_MASK - MAX_MASK_DIFFERENCE} or longer"
    elif nodes > (room := 2 ** (NODE_MASK - prefix)):
        yield f"{path}.podCIDR: has room for {room} nodes with a /{NODE_MASK} each, not for {nodes}"


def _oidc(spec: ClusterSpec) -> Iterator[str]:
    if oidc := spec.api_server.oidc:
        for field, prefix in (("usernamePrefix", oidc.username_prefix), ("groupsPrefix", oidc.groups_prefix)):
            if imitated := [name for name in RESERVED_PREFIXES if _overlap(name, prefix)]:
                yield f"spec.apiServer.oidc.{field}: would let the issuer give names that begin with {imitated[0]}"
        if not _are_certificates(oidc.certificate_authority):
            yield "spec.apiServer.oidc.certificateAuthority: holds what is no certificate"


def _are_certificates(text: str | None) -> bool:
    """Say whether all of a text is certificates (PEM), if there is one: with others no API server starts."""
    try:
        return text is None or bool(x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return False


def _overlap(one: str, other: str) -> bool:
    """Say whether a name can begin with both prefixes."""
    return one.startswith(other) or other.startswith(one)


def _pool(index: int, pool: NodePool) -> Iterator[str]:
    path = f"spec.nodePools.{index}"
    for key in pool.labels:
        if why := _key_fault(key):
            yield f"{path}.labels: {key} {why}"
    seen = set()
    for number, taint in enumerate(pool.taints):
        if why := _key_fault(taint.key):
            yield f"{path}.taints.{number}.key: {taint.key} {why}"
        if (taint.key, taint.effect) in seen:
            yield f"{path}.taints.{number}: there is one of {taint.key} with {taint.effect} already"
        seen.add((taint.key, taint.effect))


def _key_fault(key: str) -> str:
    prefix, slash, _ = key.partition("/")
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return "has no DNS name before its slash"
    return "is reserved: giantnetes.io is ours" if re.match(OUR_LABEL, key) else ""
