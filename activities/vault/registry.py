"""Which cluster a name stands for, and which machine network it holds.

Both are create-if-absent records with check-and-set, and neither is ever removed: what is released is
marked so. A removed record could be made again by a request that was lost on its way and came too late;
a marked one refuses it. Every network that a cluster tries is written into its registry entry first, so the
entry leads to all that the cluster may hold, whenever a worker dies.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from pydantic import Field, ValidationError
from temporalio import activity

from activities.vault.clock import Clock, utc_now
from activities.vault.paths import network_path, registry_path
from activities.vault.quotas import Reservations
from activities.vault.records import RACES, Folders, Stored, changing
from api.changes import unsupported_changes
from api.cluster import ClusterSpec
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.converter import describe
from contracts.errors import StepError
from contracts.machines import ClusterReference
from contracts.vault import ClaimRequest, Claims, VaultCleanup
from planning.claims import candidates, is_claimable, next_candidate
from planning.quotas import Quotas

log = structlog.get_logger(__name__)

MAX_TRIES = 100
"""Networks tried for one cluster: more conflicts than that mean that nearly all are taken."""


class RegistryEntry(Stored):
    """What a name stands for. ``networks`` are all that were tried, the last one being the cluster's.

    ``spec`` is kept as it was written: only who compares it needs one that today's models accept.
    """

    cluster_id: str
    owner: str
    provider: str
    release: str
    spec: dict[str, Any]
    created_at: datetime
    completed_at: datetime | None = None
    networks: list[str] = Field(min_length=1)
    deleting_at: datetime | None = None
    released_at: datetime | None = None


class NetworkClaim(Stored):
    """Who holds a machine network. ``owner`` is a cluster id."""

    owner: str
    claimed_at: datetime
    released_at: datetime | None = None


class Registry:
    """Pins ids to names, claims networks and releases both, as the task ``registry``."""

    def __init__(self, records: Folders, now: Clock = utc_now, quotas: Callable[[], Quotas] = Quotas) -> None:
        """Use the login of ``registry``. ``now`` is the clock that the quarantine is measured with."""
        self._records = records
        self._reservations = Reservations(records, quotas, now)
        self._now = now

    @activity.defn(name=names.CLAIM)
    def claim(self, request: ClaimRequest) -> Claims:
        """Pin the cluster's id and claim a machine network, or find what was pinned and claimed before.

        Raises ``StepError``: NameConflict when the name stands for a cluster of another owner or provider,
        InvalidSpec with the fields in which the spec differs from that of the cluster found, ClusterDeleted
        when this id has been deleted or the cluster found is half deleted, QuotaExceeded when its owner or
        namespace has no room for it, Capacity when no network is free.
        """
        path = registry_path(request.cluster.namespace, request.cluster.name)
        entry, version, adopted = self._pin(path, request.cluster)
        for _ in range(MAX_TRIES):
            network = entry.networks[-1]
            if self._take(network, entry.cluster_id):
                log.info("claimed", cluster_id=entry.cluster_id, network=network, adopted=adopted)
                return _claims(entry, adopted=adopted)
            entry = self._intend_another(path, entry, version)
            version += 1
        raise StepError(ErrorCode.CAPACITY, f"no machine network is free after {MAX_TRIES} tries")

    @activity.defn(name=names.FIND_CLAIMS)
    def find(self, request: ClaimRequest) -> Claims:
        """Return what is pinned for the name of this cluster; the proposed id when that is nothing of it.

        A cluster of the same owner and provider is found whatever its spec, since a delete needs none.
        """
        cluster = request.cluster
        found = self._entry(registry_path(cluster.namespace, cluster.name))
        if found is None or found[0].released_at is not None or not _is_ours(found[0], cluster):
            return Claims(cluster_id=cluster.cluster_id, machine_network="")
        return _claims(found[0], adopted=True)

    @activity.defn(name=names.RECORD_COMPLETE)
    def complete(self, request: ClaimRequest) -> None:
        """Write down that a create of this cluster has succeeded.

        Raises ``StepError`` with ClusterDeleted when the name does not stand for the cluster any more.
        """
        cluster = request.cluster
        path = registry_path(cluster.namespace, cluster.name)
        for _ in range(RACES):
            found = self._entry(path)
            if found is None or found[0].cluster_id != cluster.cluster_id or found[0].released_at:
                raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {cluster.cluster_id} is not registered")
            entry, version = found
            completed = entry.model_copy(update={"completed_at": self._now()})
            if entry.completed_at or self._records.write(path, completed.as_data(), version):
                return
        raise changing(path)

    def mark_deleting(self, reference: ClusterReference) -> None:
        """Write down, before anything is removed, that the cluster is being deleted: nobody adopts it then.

        Nothing to write when the name stands for another cluster, or for none.
        """
        path = registry_path(reference.namespace, reference.name)
        for _ in range(RACES):
            found = self._entry(path)
            if found is None or found[0].cluster_id != reference.cluster_id:
                return
            entry, version = found
            marked = entry.model_copy(update={"deleting_at": self._now()})
            if entry.deleting_at or entry.released_at or self._records.write(path, marked.as_data(), version):
                return
        raise changing(path)

    @activity.defn(name=names.RELEASE_CLAIMS)
    def release(self, request: VaultCleanup) -> None:
        """Release what a cluster holds. A name that stands for another cluster by now is left alone."""
        reference = request.cluster
        path = registry_path(reference.namespace, reference.name)
        for _ in range(RACES):
            found = self._entry(path)
            if found is None or found[0].cluster_id != reference.cluster_id:
                return
            entry, version = found
            # The last is the cluster's, the others were tried in vain.
            for network in entry.networks[:-1] if request.keep_network else entry.networks:
                self.release_network(network, entry.cluster_id)
            released = entry.model_copy(update={"released_at": self._now()})
            if entry.released_at is not None or self._records.write(path, released.as_data(), version):
                self._reservations.free(entry.owner, entry.cluster_id)
                log.info("claims released", cluster_id=entry.cluster_id, networks=entry.networks)
                return
        raise changing(path)

    def held(self, reference: ClusterReference) -> tuple[list[str], bool]:
        """Return the networks that a cluster holds as its registry entry says, and whether that is live."""
        found = self._entry(registry_path(reference.namespace, reference.name))
        if found is None or found[0].cluster_id != reference.cluster_id:
            return [], False
        entry = found[0]
        networks = [network for network in entry.networks if self.holder(network) == entry.cluster_id]
        return networks, entry.released_at is None

    def holder(self, network: str) -> str:
        """Return the id of the cluster that holds a network, empty when none does."""
        record = self._records.read(network_path(network))
        claim = NetworkClaim.model_validate(record.data) if record else None
        return claim.owner if claim and claim.released_at is None else ""

    def pinned(self, namespace: str, name: str) -> str:
        """Return the id that a name stands for, empty when it stands for none."""
        found = self._entry(registry_path(namespace, name))
        return found[0].cluster_id if found and found[0].released_at is None else ""

    def _entry(self, path: str) -> tuple[RegistryEntry, int] | None:
        record = self._records.read(path)
        return (RegistryEntry.model_validate(record.data), record.version) if record else None

    def _pin(self, path: str, cluster: ClusterContext) -> tuple[RegistryEntry, int, bool]:
        found = self._entry(path)
        if found is not None and found[0].released_at is None:
            _check_adoptable(found[0], cluster)
            pinned = cluster.model_copy(update={"cluster_id": found[0].cluster_id})
            self._reservations.reserve(pinned, registered=True)
            return *found, True
        if found is not None and found[0].cluster_id == cluster.cluster_id:
            raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {cluster.cluster_id} has been deleted")
        self._reservations.reserve(cluster, registered=False)
        entry, version = self._new_entry(cluster), found[1] if found else 0
        if not self._records.write(path, entry.as_data(), version):
            raise changing(path)
        return entry, version + 1, False

    def _new_entry(self, cluster: ClusterContext) -> RegistryEntry:
        return RegistryEntry(
            cluster_id=cluster.cluster_id,
            owner=cluster.spec.owner,
            provider=cluster.spec.provider,
            release=cluster.spec.release,
            spec=cluster.spec.model_dump(mode="json", by_alias=True),
            created_at=self._now(),
            networks=[next(candidates(cluster.cluster_id, cluster.spec.provider))],
        )

    def _intend_another(self, path: str, entry: RegistryEntry, version: int) -> RegistryEntry:
        """Write down the next network before it is claimed."""
        network = next_candidate(entry.cluster_id, entry.provider, entry.networks)
        if network is None:
            raise StepError(ErrorCode.CAPACITY, "no machine network is free")
        entry = entry.model_copy(update={"networks": [*entry.networks, network]})
        if not self._records.write(path, entry.as_data(), version):
            raise changing(path)
        return entry

    def _take(self, network: str, cluster_id: str) -> bool:
        """Claim a network that nobody holds; say whether the cluster holds it now."""
        path = network_path(network)
        for _ in range(RACES):
            record = self._records.read(path)
            held = NetworkClaim.model_validate(record.data) if record else None
            if held and held.owner == cluster_id and held.released_at is None:
                return True
            if held and not is_claimable(held.released_at, self._now()):
                return False
            claim = NetworkClaim(owner=cluster_id, claimed_at=self._now())
            if self._records.write(path, claim.as_data(), record.version if record else 0):
                return True
        raise changing(path)

    def release_network(self, network: str, cluster_id: str) -> None:
        """Mark a network as released, also one not claimed yet: that claim may be on its way still."""
        path = network_path(network)
        for _ in range(RACES):
            record = self._records.read(path)
            claim = NetworkClaim.model_validate(record.data) if record else None
            if claim and (claim.owner != cluster_id or claim.released_at):
                return
            claimed_at = claim.claimed_at if claim else self._now()
            released = NetworkClaim(owner=cluster_id, claimed_at=claimed_at, released_at=self._now())
            if self._records.write(path, released.as_data(), record.version if record else 0):
                return
        raise changing(path)


def _claims(entry: RegistryEntry, *, adopted: bool) -> Claims:
    return Claims(
        cluster_id=entry.cluster_id,
        machine_network=entry.networks[-1],
        adopted=adopted,
        complete=entry.completed_at is not None,
    )


def _is_ours(entry: RegistryEntry, cluster: ClusterContext) -> bool:
    """Say whether an entry is the cluster's: of its owner and provider, neither of which ever changes."""
    return entry.owner == cluster.spec.owner and entry.provider == cluster.spec.provider


def _check_adoptable(entry: RegistryEntry, cluster: ClusterContext) -> None:
    """Raise ``StepError`` when the cluster that was found is not the one that was asked for."""
    name = f"{cluster.namespace}/{cluster.name}"
    if not _is_ours(entry, cluster):
        raise StepError(
            ErrorCode.NAME_CONFLICT, f"{name} is a cluster of owner {entry.owner} on provider {entry.provider}"
        )
    if entry.deleting_at is not None:
        raise StepError(
            ErrorCode.CLUSTER_DELETED,
            f"cluster {entry.cluster_id}, which {name} stands for, is being deleted: send `delete`, "
            "wait for its end, then start again",
        )
    fields = unsupported_changes(registered_spec(entry, name), cluster.spec)
    if fields:
        raise StepError(
            ErrorCode.INVALID_SPEC, f"{name} exists and can't be changed by a new start: {', '.join(fields)}"
        )


def registered_spec(entry: RegistryEntry, name: str) -> ClusterSpec:
    """Return the spec in an entry; raises ``StepError`` ConfigurationBroken for one that is refused today."""
    try:
        return ClusterSpec.model_validate(entry.spec)
    except ValidationError as error:
        raise StepError(
            ErrorCode.CONFIGURATION_BROKEN,
            f"{name} is registered with a spec that this version refuses: {'; '.join(describe(error))}",
        ) from None
