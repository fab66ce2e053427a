"""Which hypervisor each machine of a cluster gets."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from api.cluster import MachineSize
from api.errors import ErrorCode
from contracts.context import Host, Placements
from contracts.errors import StepError
from contracts.hypervisors import ClusterNetwork, Resources
from contracts.machines import MachinePlan, MachineRole

CPU_OVERCOMMIT = 4
"""Virtual cores for each real one: the processors of machines idle most of the time."""

DISK_OVERCOMMIT = 4
"""Volumes grow as they are written to, and few are ever full."""

DISK_MIB = {MachineRole.CONTROL_PLANE: 2048 + 16384 + 65536, MachineRole.NODE: 2048 + 65536}
"""What a machine's volumes may grow to (``activities.libvirt.provider.SIZES_MIB``)."""

EMULATOR_MIB = 1536
"""The cache of translated code (``activities.libvirt.xml``), and what QEMU keeps about it."""

MOST_HOSTS = 9
"""Hypervisors that one cluster may be on: host numbers 1 to 9 of its machine network are theirs."""


@dataclass(frozen=True)
class Candidate:
    """A hypervisor. ``closed`` says why it takes no new machine, empty when it does."""

    name: str
    kind: str
    capacity: Resources
    reserved: Sequence[Resources] = ()
    closed: str = ""


@dataclass
class _Room:
    """What is left of a candidate while a cluster is placed."""

    candidate: Candidate
    cpus: int
    memory_mib: int
    disk_mib: int
    groups: "Counter[str]" = field(default_factory=Counter)

    def lacks(self, need: Resources) -> str:
        """Return what a machine that takes ``need`` finds too little of, empty when it fits."""
        if self.candidate.closed:
            return self.candidate.closed
        if need.cpus > min(self.cpus, self.candidate.capacity.cpus):
            return f"{self.cpus} of its virtual cores are free, on {self.candidate.capacity.cpus} real ones"
        if need.memory_mib > self.memory_mib:
            return f"{self.memory_mib} MiB of memory are free"
        return f"{self.disk_mib} MiB of disk are free" if need.disk_mib > self.disk_mib else ""

    def take(self, group: str, need: Resources) -> None:
        """Put a machine there."""
        self.cpus -= need.cpus
        self.memory_mib -= need.memory_mib
        self.disk_mib -= need.disk_mib
        self.groups[group] += 1


def takes(size: MachineSize, role: MachineRole, kind: str) -> Resources:
    """Return what a machine takes of its hypervisor.

    Beside its own memory, with KVM what KubeVirt reckons (its function CalculateMemoryOverhead): tables of pages,
    1/512 of it, 8 MiB for each core, and 100 MiB for the process. An emulated one holds translated code too.
    """
    overhead = size.memory_mib // 512 + 8 * size.cpus + 100
    if kind == "qemu":
        overhead += EMULATOR_MIB
    return Resources(cpus=size.cpus, memory_mib=size.memory_mib + overhead, disk_mib=DISK_MIB[role])


def network_on(cluster_id: str, machine_network: str, placements: Placements, name: str) -> ClusterNetwork:
    """Return a hypervisor's part of a cluster's network; that of the only one when the cluster was never placed.

    The number of the layer-2 network is that of the claimed machine network, so that one claim is for both.
    """
    own = placements.hosts.get(name, Host())
    peers = [host.address for other, host in sorted(placements.hosts.items()) if other != name and not host.dead]
    return ClusterNetwork(
        cluster_id=cluster_id,
        network=machine_network,
        host=own.host,
        mtu=placements.mtu,
        vni=int.from_bytes(ip_network(machine_network).network_address.packed[:3]),
        local=own.address,
        peers=peers if own.address else [],
        version=placements.version,
    )


def fits(candidate: Candidate, need: Resources) -> bool:
    """Say whether a hypervisor takes one machine more."""
    return not _room(candidate).lacks(need)


def free_host(taken: Collection[int]) -> int:
    """Return the lowest host number of a hypervisor that is not taken; ``place`` sees that there is one."""
    return next(host for host in range(1, MOST_HOSTS + 1) if host not in taken)


def group_of(machine: str) -> str:
    """Return what a machine's name says of its group: `workers-1` is of the group `workers`."""
    return machine.rpartition("-")[0]


def place(
    wanted: Sequence[MachinePlan], kept: Mapping[str, str], used: Collection[str], found: Sequence[Candidate]
) -> dict[str, str]:
    """Return the hypervisor's name for each machine ``wanted``.

    ``kept`` maps the cluster's other machines to their hypervisors; ``used`` are those that it was ever on.
    Machines of one group are spread, control plane machines before all others, then those of one cluster; after
    that the hypervisor with the most free memory is taken. Raises ``StepError`` with Capacity for a machine that
    fits nowhere.
    """
    rooms = {candidate.name: _room(candidate) for candidate in found}
    for machine, name in kept.items():
        if name in rooms:
            rooms[name].groups[group_of(machine)] += 1
    chosen: dict[str, str] = {}
    for plan in sorted(wanted, key=lambda one: (one.role is not MachineRole.CONTROL_PLANE, -one.size.memory_mib)):
        room = _best(plan, rooms, {*used, *chosen.values()})
        room.take(group_of(plan.name), takes(plan.size, plan.role, room.candidate.kind))
        chosen[plan.name] = room.candidate.name
    return chosen


def _best(machine: MachinePlan, rooms: Mapping[str, _Room], used: set[str]) -> _Room:
    lacking = {room.candidate.name: _lacks(machine, room, used) for room in rooms.values()}
    able = [room for room in rooms.values() if not lacking[room.candidate.name]]
    if not able:
        why = "; ".join(f"{name}: {lack}" for name, lack in sorted(lacking.items())) or "none is enrolled"
        raise StepError(ErrorCode.CAPACITY, f"no hypervisor has room for machine {machine.name}: {why}")
    return min(able, key=lambda room: _rank(room, group_of(machine.name)))


def _lacks(machine: MachinePlan, room: _Room, used: set[str]) -> str:
    if len(used) >= MOST_HOSTS and room.candidate.name not in used:
        return f"the cluster is on {MOST_HOSTS} others already"
    return room.lacks(takes(machine.size, machine.role, room.candidate.kind))


def _rank(room: _Room, group: str) -> tuple[int, int, float, str]:
    share = room.memory_mib / max(1, room.candidate.capacity.memory_mib)
    return room.groups[group], room.groups.total(), -share, room.candidate.name


def _room(candidate: Candidate) -> _Room:
    has, taken = candidate.capacity, candidate.reserved
    return _Room(
        candidate,
        has.cpus * CPU_OVERCOMMIT - sum(one.cpus for one in taken),
        has.memory_mib - sum(one.memory_mib for one in taken),
        has.disk_mib * DISK_OVERCOMMIT - sum(one.disk_mib for one in taken),
    )
