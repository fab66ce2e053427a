"""What owners and namespaces may have: a pure comparison of wishes, quotas and what is there."""

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import Field

from api.cluster import ClusterSpec, ControlPlaneSpec, NodePool
from api.errors import ErrorCode
from api.model import ApiModel, DnsLabel
from contracts.errors import StepError


class Quota(ApiModel):
    """Upper bounds; what is not named has none."""

    clusters: int | None = Field(default=None, ge=0)
    machines: int | None = Field(default=None, ge=0)
    cores: int | None = Field(default=None, ge=0)


class Quotas(ApiModel):
    """The quotas of owners, ``default`` being that of those not named, and those of namespaces."""

    default: Quota = Field(default_factory=Quota)
    owners: dict[DnsLabel, Quota] = Field(default_factory=dict)
    namespaces: dict[DnsLabel, Quota] = Field(default_factory=dict)


class Usage(NamedTuple):
    """What one cluster takes of the quotas of its owner and of its namespace."""

    namespace: str
    machines: int
    cores: int


def usage(namespace: str, spec: ClusterSpec) -> Usage:
    """Return what a cluster takes."""
    groups: list[ControlPlaneSpec | NodePool] = [spec.control_plane, *spec.node_pools]
    cores = sum(group.replicas * group.machine.cpus for group in groups)
    return Usage(namespace, sum(group.replicas for group in groups), cores)


def check_quota(owner: str, wanted: Usage, held: Iterable[Usage], quotas: Quotas) -> None:
    """Raise ``StepError`` with QuotaExceeded when what an owner's clusters hold leaves no room for another one."""
    of_owner = list(held)
    of_namespace = [one for one in of_owner if one.namespace == wanted.namespace]
    _check(f"owner {owner}", quotas.owners.get(owner, quotas.default), of_owner, wanted)
    bounds = quotas.namespaces.get(wanted.namespace, Quota())
    _check(f"namespace {wanted.namespace}", bounds, of_namespace, wanted)


def _check(whose: str, quota: Quota, held: list[Usage], wanted: Usage) -> None:
    wishes = (
        ("clusters", quota.clusters, len(held), 1),
        ("machines", quota.machines, sum(one.machines for one in held), wanted.machines),
        ("cores", quota.cores, sum(one.cores for one in held), wanted.cores),
    )
    for kind, bound, used, asked in wishes:
        if bound is not None and used + asked > bound:
            raise StepError(
                ErrorCode.QUOTA_EXCEEDED, f"{whose} has {used} of {bound} {kind}, {asked} more are too many"
            )
