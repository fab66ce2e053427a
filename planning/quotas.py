"""What an owner may have: a pure comparison of wishes, quotas and what is there."""

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import Field

from api.cluster import ClusterSpec
from api.errors import ErrorCode
from api.model import ApiModel, DnsLabel
from contracts.errors import StepError


class Quota(ApiModel):
    """Upper bounds for one owner."""

    clusters: int = Field(default=50, ge=0)
    machines: int = Field(default=1000, ge=0)


class Quotas(ApiModel):
    """The quota of each owner; ``default`` is that of owners that are not named."""

    default: Quota = Field(default_factory=Quota)
    owners: dict[DnsLabel, Quota] = Field(default_factory=dict)

    def of(self, owner: str) -> Quota:
        """Return the quota of an owner."""
        return self.owners.get(owner, self.default)


class Holding(NamedTuple):
    """What a registered cluster takes of its owner's quota; ``own`` marks the one that is decided about.

    ``complete`` says that it has lived: a create of it adopts it.
    """

    owner: str
    machines: int
    own: bool = False
    complete: bool = False


def machines(spec: ClusterSpec) -> int:
    """Return how many machines a cluster has."""
    return spec.control_plane.replicas + sum(pool.replicas for pool in spec.node_pools)


def is_counted(wanted: ClusterSpec, registered: Iterable[Holding]) -> bool:
    """Say whether the cluster itself is registered for its owner: one that is adopted, or created once more."""
    return any(holding.own and holding.owner == wanted.owner for holding in registered)


def check_quota(wanted: ClusterSpec, registered: Iterable[Holding], quotas: Quotas) -> None:
    """Raise ``StepError`` with QuotaExceeded when the owner's clusters leave no room for another one."""
    held = [holding for holding in registered if holding.owner == wanted.owner]
    quota = quotas.of(wanted.owner)
    used = {"clusters": len(held), "machines": sum(holding.machines for holding in held)}
    asked = {"clusters": 1, "machines": machines(wanted)}
    allowed = {"clusters": quota.clusters, "machines": quota.machines}
    for kind, bound in allowed.items():
        if used[kind] + asked[kind] > bound:
            message = f"owner {wanted.owner} has {used[kind]} of {bound} {kind}, {asked[kind]} more are too many"
            raise StepError(ErrorCode.QUOTA_EXCEEDED, message)
