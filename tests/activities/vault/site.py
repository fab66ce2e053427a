"""A site of hypervisors, for tests of where machines are placed."""

from collections.abc import Sequence
from uuid import uuid4

from activities.vault.hypervisors import HypervisorEntry, Hypervisors
from activities.vault.placements import PlacementTable
from activities.vault.records import Folders
from api.cluster import MachineSize
from contracts.context import ClusterContext, Placements
from contracts.hypervisors import (
    Debt,
    EnrolRequest,
    HypervisorFacts,
    HypervisorReference,
    Mark,
    MarkRequest,
    PlaceRequest,
    Resources,
    SweptRequest,
    VacateRequest,
)
from contracts.machines import MachinePlan, MachineRole, node_name, slot_name
from planning.placement import CPU_OVERCOMMIT, DISK_OVERCOMMIT, takes
from tests.activities.vault.support import new_cluster, reference

SITE = "default"
SIZE = MachineSize(cpus=1, memory_mib=1024)
NODE_TAKES = takes(SIZE, MachineRole.NODE, "kvm")
PLENTY = Resources(cpus=32, memory_mib=262144, disk_mib=4194304)


def room_for(nodes: int) -> Resources:
    """Return what has memory for some nodes of ``SIZE``, and enough of all else."""
    return PLENTY.model_copy(update={"memory_mib": nodes * NODE_TAKES.memory_mib})


def facts(name: str, capacity: Resources = PLENTY, **other: object) -> HypervisorFacts:
    """Return what a hypervisor finds, with a host id and an address of its own."""
    number = sum(ord(letter) * 7**index for index, letter in enumerate(name)) % 65536
    found = {
        "host_id": f"id-of-{name}",
        "kind": "kvm",
        "address": f"10.9.{number // 256}.{number % 256}",
        "capacity": capacity,
    }
    return HypervisorFacts.model_validate(found | other)


def new_site() -> str:
    """Return a site that nothing is known of."""
    return f"s{uuid4().hex[:11]}"


def slots(count: int) -> list[MachinePlan]:
    """Return control plane machines."""
    return [
        MachinePlan(name=slot_name(number), role=MachineRole.CONTROL_PLANE, host=10 + number, size=SIZE)
        for number in range(1, count + 1)
    ]


def nodes(count: int, pool: str = "workers") -> list[MachinePlan]:
    """Return nodes of a pool."""
    return [
        MachinePlan(name=node_name(pool, number), role=MachineRole.NODE, host=20 + number, pool=pool, size=SIZE)
        for number in range(1, count + 1)
    ]


def one_each(placements: Placements) -> dict[str, list[str]]:
    """Return the hypervisors that should have each machine: one."""
    return {machine: [name] for machine, name in placements.machines.items()}


class Site:
    """A site, as the activities see and change it."""

    def __init__(self, records: Folders, name: str = SITE) -> None:
        """Use a store."""
        self.records = records
        self.name = name
        self.hypervisors = Hypervisors(records)
        self.table = PlacementTable(records)

    def through(self, records: Folders) -> "Site":
        """Return the same site as a worker sees it whose requests go another way."""
        return Site(records, self.name)

    def cluster(self, cluster_id: str = "") -> ClusterContext:
        """Return a cluster that is to be there."""
        return new_cluster(cluster_id=cluster_id, site=self.name)

    def enrol(self, *names: str, capacity: Resources = PLENTY, **other: object) -> None:
        """Enrol hypervisors."""
        for name in names:
            found = facts(name, capacity, **other)
            self.hypervisors.enrol(EnrolRequest(site=self.name, name=name, facts=found))

    def mark(self, name: str, mark: Mark) -> None:
        """Say something of a hypervisor."""
        self.hypervisors.mark(MarkRequest(site=self.name, name=name, mark=mark))

    def forget(self, name: str) -> None:
        """Forget a hypervisor."""
        self.hypervisors.forget(HypervisorReference(site=self.name, name=name))

    def swept(self, name: str, debt: Debt) -> None:
        """Say that a debt is paid."""
        self.hypervisors.swept(SweptRequest(site=self.name, name=name, debt=debt))

    def place(self, cluster: ClusterContext, machines: Sequence[MachinePlan], **how: bool) -> Placements:
        """Place machines; ``how`` are flags of the request."""
        return self.table.place(PlaceRequest(cluster=cluster, machines=[*machines], **how))

    def vacate(self, cluster: ClusterContext, *unswept: str) -> list[str]:
        """Give a cluster's places back."""
        request = VacateRequest(cluster=reference(cluster), site=self.name, unswept=[*unswept])
        return self.table.vacate(request).owing

    def entry(self, name: str) -> HypervisorEntry:
        """Return what is known of a hypervisor."""
        return self.hypervisors.entries(self.name)[name]

    def reserved(self, cluster: ClusterContext) -> dict[str, list[str]]:
        """Return the hypervisors that have each machine of a cluster."""
        found: dict[str, list[str]] = {}
        for name, entry in sorted(self.hypervisors.entries(self.name).items()):
            for placed in entry.machines.values():
                if placed.cluster_id == cluster.cluster_id:
                    found.setdefault(placed.machine, []).append(name)
        return found

    def overfull(self) -> list[str]:
        """Return the hypervisors that were given more than they have."""
        return [name for name, entry in self.hypervisors.entries(self.name).items() if _is_overfull(entry)]


def _is_overfull(entry: HypervisorEntry) -> bool:
    has, taken = entry.facts.capacity, [placed.takes for placed in entry.machines.values()]
    return (
        sum(one.cpus for one in taken) > has.cpus * CPU_OVERCOMMIT
        or sum(one.memory_mib for one in taken) > has.memory_mib
        or sum(one.disk_mib for one in taken) > has.disk_mib * DISK_OVERCOMMIT
    )
