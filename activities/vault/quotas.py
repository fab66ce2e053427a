"""What each owner's clusters take of its quota, kept so that two made at once can't take the same room.

One record for each owner, changed by check-and-set. A cluster is written there before it is registered, and taken
out after it was released. A worker that dies between the two leaves an entry that no cluster stands for; it is
dropped when the room is wanted. A record that is missing is made from the registry.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

import structlog
from pydantic import Field, ValidationError

from activities.parallel import gather
from activities.vault.clock import Clock
from activities.vault.paths import CLUSTERS, quota_path, registry_path
from activities.vault.records import RACES, Folders, Stored, changing
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError
from planning.quotas import Quotas, Usage, check_quota, usage

log = structlog.get_logger(__name__)

FRESH = timedelta(minutes=15)
"""How long an attempt may take from here to the registry: longer than an activity lives."""


class Reservation(Stored):
    """What one cluster takes."""

    namespace: str
    name: str
    machines: int
    cores: int
    reserved_at: datetime

    def usage(self) -> Usage:
        """Return what is counted of it."""
        return Usage(self.namespace, self.machines, self.cores)


class QuotaRecord(Stored):
    """What an owner's clusters take, by cluster id."""

    clusters: dict[str, Reservation] = Field(default_factory=dict)


class Reservations:
    """Takes and gives back room, as the task ``registry``."""

    def __init__(self, records: Folders, quotas: Callable[[], Quotas], now: Clock) -> None:
        """Use the login of ``registry``; ``quotas`` is asked for each cluster."""
        self._records = records
        self._quotas = quotas
        self._now = now
        self._locks: dict[str, Lock] = {}

    def reserve(self, cluster: ClusterContext, *, registered: bool) -> None:
        """Take room for a cluster; one that is ``registered`` was let in before, and has it whatever is left.

        One that isn't is checked each time, and its time is that of the last one, which may still register it.

        Raises ``StepError`` with QuotaExceeded.
        """
        owner, taken = cluster.spec.owner, usage(cluster.namespace, cluster.spec)
        reservation = Reservation(
            namespace=cluster.namespace,
            name=cluster.name,
            machines=taken.machines,
            cores=taken.cores,
            reserved_at=self._now(),
        )

        def add(held: dict[str, Reservation]) -> dict[str, Reservation]:
            if registered:
                return {cluster.cluster_id: reservation, **held}
            # What an earlier attempt took counts for nothing: it may be stale by now, or of another spec.
            others = {cluster_id: one for cluster_id, one in held.items() if cluster_id != cluster.cluster_id}
            return {**self._with_room(owner, taken, others), cluster.cluster_id: reservation}

        self._change(owner, add)

    def free(self, owner: str, cluster_id: str) -> None:
        """Give back what a cluster took."""
        self._change(owner, lambda held: {other: kept for other, kept in held.items() if other != cluster_id})

    def _change(self, owner: str, change: Callable[[dict[str, Reservation]], dict[str, Reservation]]) -> None:
        path = quota_path(owner)
        # Threads of one worker would only be in each other's way; other owners' records are others' business.
        with self._locks.setdefault(owner, Lock()):
            for _ in range(RACES):
                record = self._records.read(path)
                held = QuotaRecord.model_validate(record.data).clusters if record else self._registered(owner)
                changed = change(held)
                if record and changed == held:
                    return
                data = QuotaRecord(clusters=changed).as_data()
                if self._records.write(path, data, record.version if record else 0):
                    return
        raise changing(path)

    def _with_room(self, owner: str, wanted: Usage, held: dict[str, Reservation]) -> dict[str, Reservation]:
        """Return what is held when there is room beside it, without what nobody holds any more."""
        quotas = self._quotas()
        try:
            check_quota(owner, wanted, [one.usage() for one in held.values()], quotas)
        except StepError:
            stale = self._stale(held)
            kept = {cluster_id: one for cluster_id, one in held.items() if cluster_id not in stale}
            check_quota(owner, wanted, [one.usage() for one in kept.values()], quotas)
            log.info("stale reservations dropped", owner=owner, cluster_ids=sorted(stale))
            return kept
        return held

    def _stale(self, held: Mapping[str, Reservation]) -> set[str]:
        old = {key: one for key, one in held.items() if self._now() - one.reserved_at > FRESH}
        paths = [registry_path(one.namespace, one.name) for one in old.values()]
        found = gather([partial(self._records.read, path) for path in paths])
        return {
            cluster_id
            for cluster_id, record in zip(old, found, strict=True)
            if not record or record.data.get("releasedAt") or record.data.get("clusterId") != cluster_id
        }

    def _registered(self, owner: str) -> dict[str, Reservation]:
        """Return what the registered clusters of an owner take."""
        named = [
            (namespace.rstrip("/"), name)
            for namespace in self._records.keys(CLUSTERS)
            for name in self._records.keys(f"{CLUSTERS}/{namespace.rstrip('/')}")
        ]
        found = gather([partial(self._records.read, registry_path(*pair)) for pair in named])
        entries = {pair: record.data for pair, record in zip(named, found, strict=True) if record}
        return {
            data["clusterId"]: _counted(*pair, data, self._now())
            for pair, data in entries.items()
            if data.get("owner") == owner and not data.get("releasedAt")
        }


class _Machine(Stored):
    cpus: int = 2


class _Group(Stored):
    replicas: int = 1
    machine: _Machine = Field(default_factory=_Machine)


class _Counted(Stored):
    """The part of a registered spec that is counted, whatever else an older or newer version wrote there."""

    control_plane: _Group = Field(default_factory=_Group)
    node_pools: list[_Group] = Field(default_factory=list)


def _counted(namespace: str, name: str, data: Mapping[str, Any], now: datetime) -> Reservation:
    try:
        spec = _Counted.model_validate(data["spec"])
    except (KeyError, ValidationError):
        raise StepError(
            ErrorCode.CONFIGURATION_BROKEN,
            f"the registry entry {registry_path(namespace, name)} in Vault can't be read: correct it there",
        ) from None
    groups = [spec.control_plane, *spec.node_pools]
    return Reservation(
        namespace=namespace,
        name=name,
        machines=sum(group.replicas for group in groups),
        cores=sum(group.replicas * group.machine.cpus for group in groups),
        reserved_at=now,
    )
