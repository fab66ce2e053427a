"""Which hypervisor each machine of a cluster is on, pinned in Vault's KV store.

As with claims, what is intended is written into the cluster's record first, and then taken: a place on a
hypervisor is an entry in that hypervisor's record. So the cluster's record leads to all hypervisors that anything
of it may be on, whenever a worker dies, no machine is ever placed on two, and no hypervisor is given more than it
has.
"""

from collections.abc import Mapping, Sequence

import structlog
from pydantic import Field
from temporalio import activity

from activities.vault.clock import Clock, utc_now
from activities.vault.hypervisors import HypervisorEntry, Hypervisors
from activities.vault.paths import placement_path
from activities.vault.registry import Folders, Stored
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext, Host, Placements
from contracts.errors import StepError
from contracts.hypervisors import (
    Debt,
    HypervisorReference,
    Mark,
    PlacedMachine,
    PlaceRequest,
    VacateRequest,
)
from contracts.machines import MachinePlan, MachineRole
from planning.placement import Candidate, fits, free_host, place, takes

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
        site, cluster = request.cluster.spec.site, request.cluster
        for _ in range(MAX_TRIES):
            found = self._hypervisors.entries(site)
            entry, version = self._entry(cluster.cluster_id)
            if entry and entry.ended:
                raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {cluster.cluster_id} has been deleted")
            settled = _settled(request, entry, found)
            intended = self._intended(request, entry, settled, found)
            if intended != entry and not self._records.write(
                placement_path(cluster.cluster_id), intended.as_data(), version
            ):
                continue
            if all(self._take(cluster, machine, intended) for machine in request.machines):
                self._drop_others(request, intended, found)
                return _placements(intended, found)
        raise StepError(ErrorCode.CAPACITY, f"hypervisors of {site} fill faster than machines can be placed")

    @activity.defn(name=names.FIND_PLACEMENTS)
    def find(self, cluster: ClusterContext) -> Placements:
        """Return where a cluster's machines are; nothing for one that was never placed."""
        entry, _ = self._entry(cluster.cluster_id)
        return _placements(entry, self._hypervisors.entries(cluster.spec.site)) if entry else Placements()

    @activity.defn(name=names.VACATE_HYPERVISORS)
    def vacate(self, request: VacateRequest) -> None:
        """Give back all places of a cluster; the hypervisors that are named owe its removal from now on."""
        entry = self._end(request.cluster.cluster_id)
        for name in {*entry.hosts} & {*self._hypervisors.entries(request.site)}:
            debt = _debt(request, entry) if name in request.unswept else None
            self._vacate(HypervisorReference(site=request.site, name=name), request.cluster.cluster_id, debt)

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
            machines=placed | settled | chosen, hosts=hosts, mtu=mtu, network=request.cluster.machine_network
        )

    def _take(self, cluster: ClusterContext, machine: MachinePlan, intended: PlacementEntry) -> bool:
        """Enter a machine into its hypervisor's record; False when there is no room for it any more."""
        name, key = intended.machines[machine.name], _key(cluster.cluster_id, machine.name)

        def change(entry: HypervisorEntry) -> HypervisorEntry | None:
            placed = PlacedMachine(
                cluster_id=cluster.cluster_id,
                namespace=cluster.namespace,
                name=cluster.name,
                machine=machine.name,
                takes=takes(machine.size, machine.role, entry.facts.kind),
                volume=machine.role is MachineRole.CONTROL_PLANE,
            )
            if key in entry.machines or not fits(_candidate(name, entry, intended.mtu), placed.takes):
                return None
            return entry.model_copy(update={"machines": entry.machines | {key: placed}})

        return key in self._hypervisors.change(_at(cluster, name), change).machines

    def _drop_others(
        self, request: PlaceRequest, intended: PlacementEntry, found: Mapping[str, HypervisorEntry]
    ) -> None:
        """Take machines that have moved out of the records of where they were."""
        cluster = request.cluster
        for name in {*intended.hosts} & {*found}:
            for machine in request.machines:
                if name != intended.machines[machine.name]:
                    self._drop(_at(cluster, name), cluster.cluster_id, machine.name)

    def _drop(self, reference: HypervisorReference, cluster_id: str, machine: str) -> None:
        """Take one machine out of a record; a dead hypervisor may have it still, should it come back."""
        key = _key(cluster_id, machine)

        def change(entry: HypervisorEntry) -> HypervisorEntry | None:
            if key not in entry.machines:
                return None
            left = {one: placed for one, placed in entry.machines.items() if one != key}
            placed = entry.machines[key]
            debt = Debt(cluster_id=cluster_id, machine=machine, namespace=placed.namespace, name=placed.name)
            owed = [debt] if entry.mark is Mark.DEAD else []
            return entry.model_copy(update={"machines": left, "unswept": [*entry.unswept, *owed]})

        self._hypervisors.change(reference, change)

    def _vacate(self, reference: HypervisorReference, cluster_id: str, debt: Debt | None) -> None:
        def change(entry: HypervisorEntry) -> HypervisorEntry | None:
            left = {key: one for key, one in entry.machines.items() if one.cluster_id != cluster_id}
            owed = [debt] if debt and debt not in entry.unswept else []
            unswept = [*entry.unswept, *owed]
            if left == entry.machines and unswept == entry.unswept:
                return None
            return entry.model_copy(update={"machines": left, "unswept": unswept})

        self._hypervisors.change(reference, change)


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
        elif there.mark is Mark.OPEN or not request.moving:
            settled[machine.name] = name
    return settled


def _placements(entry: PlacementEntry, found: Mapping[str, HypervisorEntry]) -> Placements:
    hosts = {
        name: Host(address=found[name].facts.address, host=host, dead=found[name].mark is Mark.DEAD)
        for name, host in entry.hosts.items()
        if name in found
    }
    return Placements(machines=entry.machines, hosts=hosts, mtu=entry.mtu)


def _candidates(found: Mapping[str, HypervisorEntry], mtu: int) -> Sequence[Candidate]:
    return [_candidate(name, entry, mtu) for name, entry in found.items()]


def _candidate(name: str, entry: HypervisorEntry, mtu: int) -> Candidate:
    closed = "" if entry.mark is Mark.OPEN else f"is {entry.mark}"
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
