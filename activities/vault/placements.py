"""Which hypervisor each machine of a cluster is on, pinned in Vault's KV store.

As with claims, what is intended is written into the cluster's record first, and then taken: a place on a
hypervisor is an entry in that hypervisor's record. So the cluster's record leads to all hypervisors that anything
of it may be on, whenever a worker dies, no machine is ever placed on two, and no hypervisor is given more than it
has.

Attempts overlap: one that was given up may still be at work when the next one is done. So a place is taken or left
only while the cluster's record is as the attempt wrote or found it, which is read *after* the hypervisor's: who
writes the cluster's record and then the hypervisor's has seen, or stopped, all that others did there before.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from pydantic import Field
from temporalio import activity

from activities.parallel import gather
from activities.vault.clock import Clock, utc_now
from activities.vault.hypervisors import HypervisorEntry, Hypervisors
from activities.vault.paths import placement_path
from activities.vault.records import Folders, Stored
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext, Host, Placements
from contracts.errors import StepError
from contracts.hypervisors import (
    ClusterNetworks,
    Debt,
    HypervisorReference,
    Mark,
    PlacedMachine,
    PlaceRequest,
    Vacated,
    VacateRequest,
)
from contracts.machines import MachinePlan, MachineRole
from planning.placement import Candidate, fits, free_host, network_on, place, takes

log = structlog.get_logger(__name__)

MAX_TRIES = 20
"""Others may take the room that was seen, again and again."""


class PlacementEntry(Stored):
    """Where a cluster's machines are. ``hosts`` are the host numbers of all hypervisors it may be on.

    One that is ``ended`` refuses a request that comes late.
    """

    machines: dict[str, str] = Field(default_factory=dict)
    hosts: dict[str, int] = Field(default_factory=dict)
    mtu: int = 1500
    network: str = ""
    ended: bool = False


@dataclass(frozen=True)
class _Pinned:
    """A cluster's record as one attempt wrote or found it; the places of ``chosen`` are new."""

    cluster: ClusterContext
    entry: PlacementEntry
    version: int
    chosen: frozenset[str]


class PlacementTable:
    """Places machines as the task ``registry``."""

    def __init__(self, records: Folders, now: Clock = utc_now) -> None:
        """Use the login of ``registry``."""
        self._records = records
        self._hypervisors = Hypervisors(records, now)

    @activity.defn(name=names.PLACE_MACHINES)
    def place(self, request: PlaceRequest) -> Placements:
        """Give each machine a hypervisor, or find which it has.

        Raises ``StepError``: Capacity when a machine fits nowhere, VolumeLost when a slot's volume is on a
        hypervisor that was declared dead.
        """
        if request.only_look:
            return self._look(request)
        site = request.cluster.spec.site
        for tried in range(MAX_TRIES):
            before = self._entry(request.cluster.cluster_id)
            found = self._hypervisors.entries(site)
            pinned = self._pin(request, before, found, announce=tried == 0)
            if pinned and self._take_all(pinned, request.machines):
                self._drop_others(pinned, request, found)
                if self._stands(pinned):
                    return _placements(pinned.entry, pinned.version, found)
        raise StepError(ErrorCode.CAPACITY, f"hypervisors of {site} fill faster than machines can be placed")

    @activity.defn(name=names.FIND_PLACEMENTS)
    def find(self, cluster: ClusterContext) -> Placements:
        """Return where a cluster's machines are; nothing for one that was never placed."""
        entry, version = self._entry(cluster.cluster_id)
        return _placements(entry, version, self._hypervisors.entries(cluster.spec.site)) if entry else Placements()

    @activity.defn(name=names.FIND_NETWORKS)
    def networks(self, hypervisor: HypervisorReference) -> ClusterNetworks:
        """Return the networks of the clusters that have a place on a hypervisor; none for one not enrolled."""
        found = self._hypervisors.entries(hypervisor.site)
        there = found[hypervisor.name].machines.values() if hypervisor.name in found else ()
        ids = sorted({placed.cluster_id for placed in there})
        entries = gather([partial(self._entry, cluster_id) for cluster_id in ids])
        return ClusterNetworks(
            items=[
                network_on(cluster_id, entry.network, _placements(entry, version, found), hypervisor.name)
                for cluster_id, (entry, version) in zip(ids, entries, strict=True)
                if entry and entry.network and not entry.ended and hypervisor.name in entry.hosts
            ]
        )

    @activity.defn(name=names.VACATE_HYPERVISORS)
    def vacate(self, request: VacateRequest) -> Vacated:
        """Give back all places of a cluster; the hypervisors that are named owe its removal from now on.

        One that was forgotten meanwhile owes nothing: its volumes are taken for gone.
        """
        cluster_id = request.cluster.cluster_id
        entry, owing = self._end(cluster_id), []
        for name in sorted({*entry.hosts} & {*self._hypervisors.entries(request.site)}):
            debt = _debt(request, entry) if name in request.unswept else None
            left = self._vacate(HypervisorReference(site=request.site, name=name), cluster_id, debt)
            if left and any(one.cluster_id == cluster_id for one in left.unswept):
                owing.append(name)
        return Vacated(owing=owing)

    def _look(self, request: PlaceRequest) -> Placements:
        """Return where machines would be placed now."""
        entry, version = self._entry(request.cluster.cluster_id)
        found = self._hypervisors.entries(request.cluster.spec.site)
        intended = self._intended(request, entry, _settled(request, entry, found), found)
        return _placements(intended, version, found)

    def _end(self, cluster_id: str) -> PlacementEntry:
        """Mark a cluster's record, also one not made yet: a request for a place may be on its way still."""
        for _ in range(MAX_TRIES):
            entry, version = self._entry(cluster_id)
            ended = (entry or PlacementEntry()).model_copy(update={"ended": True})
            if (entry and entry.ended) or self._records.write(
                placement_path(cluster_id), ended.as_data(), version
            ):
                return ended
        raise StepError(ErrorCode.VAULT_UNAVAILABLE, f"where {cluster_id} is, is being changed by others")

    def _entry(self, cluster_id: str) -> tuple[PlacementEntry | None, int]:
        record = self._records.read(placement_path(cluster_id))
        return (PlacementEntry.model_validate(record.data), record.version) if record else (None, 0)

    def _pin(
        self,
        request: PlaceRequest,
        before: tuple[PlacementEntry | None, int],
        found: Mapping[str, HypervisorEntry],
        *,
        announce: bool,
    ) -> _Pinned | None:
        """Write down where machines are to be; None when another attempt did at the same time.

        To ``announce`` an attempt the record is written also when it stays as it is: earlier ones look again then.
        """
        cluster, (entry, version) = request.cluster, before
        if entry and entry.ended:
            raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {cluster.cluster_id} has been deleted")
        settled = _settled(request, entry, found)
        intended = self._intended(request, entry, settled, found)
        if announce or intended != entry:
            if not self._records.write(placement_path(cluster.cluster_id), intended.as_data(), version):
                return None
            version += 1
        chosen = frozenset(machine.name for machine in request.machines) - settled.keys()
        return _Pinned(cluster, intended, version, chosen)

    def _stands(self, pinned: _Pinned) -> bool:
        """Say whether nobody has written the cluster's record meanwhile."""
        return self._entry(pinned.cluster.cluster_id)[1] == pinned.version

    def _intended(
        self,
        request: PlaceRequest,
        entry: PlacementEntry | None,
        settled: dict[str, str],
        found: Mapping[str, HypervisorEntry],
    ) -> PlacementEntry:
        """Return the record with a hypervisor for each machine that has none."""
        placed = entry.machines if entry else {}
        asked = {machine.name for machine in request.machines}
        kept = {name: host for name, host in placed.items() if name not in asked} | settled
        wanted = [machine for machine in request.machines if machine.name not in settled]
        hosts, mtu = dict(entry.hosts) if entry else {}, entry.mtu if entry else _site_mtu(found)
        chosen = place(wanted, kept, [*hosts], _candidates(found, mtu)) if wanted else {}
        for name in chosen.values():
            hosts.setdefault(name, free_host(hosts.values()))
        return PlacementEntry(
            machines=placed | settled | chosen,
            hosts=hosts,
            mtu=mtu,
            network=request.cluster.machine_network or (entry.network if entry else ""),
        )

    def _take_all(self, pinned: _Pinned, machines: Sequence[MachinePlan]) -> bool:
        there: dict[str, list[MachinePlan]] = {}
        for machine in machines:
            there.setdefault(pinned.entry.machines[machine.name], []).append(machine)
        return all(self._take(pinned, name, there[name]) for name in sorted(there))

    def _take(self, pinned: _Pinned, name: str, machines: Sequence[MachinePlan]) -> bool:
        """Enter machines into a hypervisor's record; False when there is no room for them all any more.

        A new place is written also where the machine is entered already: it may be about to be dropped there.
        """
        cluster = pinned.cluster
        keys = {_key(cluster.cluster_id, machine.name): machine for machine in machines}

        def change(entry: HypervisorEntry) -> HypervisorEntry | None:
            full = entry
            for key, machine in keys.items():
                placed = _placed(cluster, machine, entry.facts.kind)
                if key not in entry.machines and fits(_candidate(name, full, pinned.entry.mtu), placed.takes):
                    full = full.model_copy(update={"machines": full.machines | {key: placed}})
            taken = [machine for key, machine in keys.items() if key in full.machines]
            anew = any(machine.name in pinned.chosen for machine in taken)
            return full if anew and self._stands(pinned) else None

        entry = self._hypervisors.change(_at(cluster, name), change)
        return entry is not None and keys.keys() <= entry.machines.keys()

    def _drop_others(self, pinned: _Pinned, request: PlaceRequest, found: Mapping[str, HypervisorEntry]) -> None:
        """Take machines that have moved out of the records of where they were."""
        placed = {machine.name: pinned.entry.machines[machine.name] for machine in request.machines}
        for name in sorted({*pinned.entry.hosts} & {*found}):
            gone = {machine for machine, host in placed.items() if host != name}
            self._drop(pinned, name, gone, unremoved=request.unremoved)

    def _drop(self, pinned: _Pinned, name: str, machines: Collection[str], *, unremoved: bool) -> None:
        """Take machines out of a record; a dead hypervisor may have them still, should it come back."""
        cluster = pinned.cluster
        keys = {_key(cluster.cluster_id, machine) for machine in machines}

        def change(entry: HypervisorEntry) -> HypervisorEntry | None:
            if not keys & entry.machines.keys() or not self._stands(pinned):
                return None
            left = {key: placed for key, placed in entry.machines.items() if key not in keys}
            gone = sorted(placed.machine for key, placed in entry.machines.items() if key in keys)
            debts = [
                Debt(
                    cluster_id=cluster.cluster_id,
                    machine=machine,
                    namespace=cluster.namespace,
                    name=cluster.name,
                )
                for machine in gone
            ]
            owed = debts if unremoved or entry.mark is Mark.DEAD else []
            return entry.model_copy(update={"machines": left, "unswept": [*entry.unswept, *owed]})

        self._hypervisors.change(_at(cluster, name), change)

    def _vacate(
        self, reference: HypervisorReference, cluster_id: str, debt: Debt | None
    ) -> HypervisorEntry | None:
        """Take all of a cluster out of a record. It is written in any case, which stops who is about to write."""

        def change(entry: HypervisorEntry) -> HypervisorEntry:
            left = {key: one for key, one in entry.machines.items() if one.cluster_id != cluster_id}
            owed = [debt] if debt and debt not in entry.unswept else []
            return entry.model_copy(update={"machines": left, "unswept": [*entry.unswept, *owed]})

        return self._hypervisors.change(reference, change)


def _settled(
    request: PlaceRequest, entry: PlacementEntry | None, found: Mapping[str, HypervisorEntry]
) -> dict[str, str]:
    """Return the machines that stay where they are.

    A place that was intended and not taken is none; but whatever has a volume stays where that is.
    """
    settled = {}
    for machine in request.machines:
        name = entry.machines.get(machine.name, "") if entry else ""
        there = found.get(name)
        if there is None or _key(request.cluster.cluster_id, machine.name) not in there.machines:
            continue
        if machine.role is MachineRole.CONTROL_PLANE:
            if there.mark is Mark.DEAD and request.moving:
                raise StepError(ErrorCode.VOLUME_LOST, f"the volume of {machine.name} is on {name}, which is dead")
            settled[machine.name] = name
        elif there.mark is Mark.OPEN or (not request.moving and there.mark is not Mark.DEAD):
            settled[machine.name] = name
    return settled


def _placements(entry: PlacementEntry, version: int, found: Mapping[str, HypervisorEntry]) -> Placements:
    hosts = {
        name: Host(address=found[name].facts.address, host=host, dead=found[name].mark is Mark.DEAD)
        for name, host in entry.hosts.items()
        if name in found
    }
    return Placements(machines=entry.machines, hosts=hosts, mtu=entry.mtu, version=version)


def _placed(cluster: ClusterContext, machine: MachinePlan, kind: str) -> PlacedMachine:
    return PlacedMachine(
        cluster_id=cluster.cluster_id,
        namespace=cluster.namespace,
        name=cluster.name,
        machine=machine.name,
        takes=takes(machine.size, machine.role, kind),
        volume=machine.role is MachineRole.CONTROL_PLANE,
    )


def _candidates(found: Mapping[str, HypervisorEntry], mtu: int) -> Sequence[Candidate]:
    return [_candidate(name, entry, mtu) for name, entry in found.items()]


def _candidate(name: str, entry: HypervisorEntry, mtu: int) -> Candidate:
    closed = "" if entry.mark is Mark.OPEN else f"is {entry.mark}"
    if entry.silent_since:
        closed = f"is silent since {entry.silent_since:%Y-%m-%d %H:%M} UTC"
    if entry.unswept:
        closed = f"is still to be swept of {entry.unswept[0].cluster_id}"
    if not closed and entry.facts.mtu < mtu:
        closed = f"carries packets of {entry.facts.mtu} bytes, and the cluster's are {mtu}"
    return Candidate(
        name=name,
        kind=entry.facts.kind,
        capacity=entry.facts.capacity,
        reserved=[placed.takes for placed in entry.machines.values()],
        closed=closed,
    )


def _site_mtu(found: Mapping[str, HypervisorEntry]) -> int:
    """Return what every hypervisor of the site carries, so that the cluster can spread over any of them."""
    return min((entry.facts.mtu for entry in found.values()), default=Placements().mtu)


def _debt(request: VacateRequest, entry: PlacementEntry) -> Debt:
    cluster = request.cluster
    return Debt(
        cluster_id=cluster.cluster_id, namespace=cluster.namespace, name=cluster.name, network=entry.network
    )


def _at(cluster: ClusterContext, name: str) -> HypervisorReference:
    return HypervisorReference(site=cluster.spec.site, name=name)


def _key(cluster_id: str, machine: str) -> str:
    return f"{cluster_id}/{machine}"
