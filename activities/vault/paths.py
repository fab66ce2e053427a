"""Where things of a cluster are kept in Vault. Policies in deploy/stack/policies name the same paths."""

import re

from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.vault import Authority

KV = "giantnetes"
"""Mount of the KV engine, version 2."""

CLUSTERS = "clusters"
NETWORKS = "claims/network"
SECRETS = "secrets"
ISSUANCES = "issuances"
HYPERVISORS = "hypervisors"
PLACEMENTS = "placements"
QUOTAS = "quotas"
SERVICE_ACCOUNT = "service-account"
ENCRYPTION = "encryption"
AUTHORITIES = "pki"

_SEGMENT = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def authority_mount(cluster_id: str, authority: Authority) -> str:
    """Return the mount of one CA of a cluster."""
    return f"{AUTHORITIES}/{_segment(cluster_id)}/{authority}"


def authority_prefix(cluster_id: str) -> str:
    """Return what the mounts of a cluster's CAs begin with; of all clusters' when the id is empty."""
    return f"{AUTHORITIES}/{_segment(cluster_id)}/" if cluster_id else f"{AUTHORITIES}/"


def registry_path(namespace: str, name: str) -> str:
    """Return the KV path of a cluster's registry entry."""
    return f"{CLUSTERS}/{_segment(namespace)}/{_segment(name)}"


def network_path(network: str) -> str:
    """Return the KV path of the claim on a machine network such as 127.64.7.0/24."""
    return f"{NETWORKS}/{network.replace('/', '-')}"


def network_of(key: str) -> str:
    """Return the machine network that a key below ``NETWORKS`` stands for."""
    return key.replace("-", "/")


def secret_folder(cluster_id: str) -> str:
    """Return the KV folder of a cluster's secrets."""
    return f"{SECRETS}/{_segment(cluster_id)}"


def secret_path(cluster_id: str, kind: str) -> str:
    """Return the KV path of one of a cluster's secrets."""
    return f"{secret_folder(cluster_id)}/{kind}"


def issuance_folder(cluster_id: str) -> str:
    """Return the KV folder of what was signed for a cluster's machines."""
    return f"{ISSUANCES}/{_segment(cluster_id)}"


def issuance_path(cluster_id: str, machine: str) -> str:
    """Return the KV path of what was signed for one machine."""
    return f"{issuance_folder(cluster_id)}/{_segment(machine)}"


def hypervisor_folder(site: str) -> str:
    """Return the KV folder of a site's hypervisors."""
    return f"{HYPERVISORS}/{_segment(site)}"


def hypervisor_path(site: str, name: str) -> str:
    """Return the KV path of what is known of a hypervisor."""
    return f"{hypervisor_folder(site)}/{_segment(name)}"


def placement_path(cluster_id: str) -> str:
    """Return the KV path of where a cluster's machines are."""
    return f"{PLACEMENTS}/{_segment(cluster_id)}"


def quota_path(owner: str) -> str:
    """Return the KV path of what an owner's clusters take of its quota."""
    return f"{QUOTAS}/{_segment(owner)}"


def _segment(value: str) -> str:
    """Return one part of a path as it is; an id with a slash would reach into another cluster's things."""
    if not _SEGMENT.fullmatch(value):
        raise StepError(
            ErrorCode.INVALID_SPEC, f"{value[:80]!r} can't be an id: use lower case letters, digits and dashes"
        )
    return value
