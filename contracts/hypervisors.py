"""Hypervisors: what their workers say of them, where machines are placed, and the messages about both."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from contracts.context import ClusterContext
from contracts.machines import ClusterReference, MachinePlan
from contracts.model import WireModel

HYPERVISOR = "Hypervisor"
"""The entity workflow of one hypervisor."""


def hypervisor_id(site: str, name: str) -> str:
    """Return the id of a hypervisor's entity workflow."""
    return f"hypervisor/{site}/{name}"


class Resources(WireModel):
    """What a hypervisor has, or a machine takes: cores, memory and disk in MiB."""

    cpus: int = 0
    memory_mib: int = 0
    disk_mib: int = 0


class HypervisorReference(WireModel):
    """A hypervisor of a site, by name."""

    site: str
    name: str


class HypervisorFacts(WireModel):
    """What the worker of a hypervisor finds when it checks it.

    ``host_id`` is the machine's own (machine-id(5)); ``kind`` is kvm or qemu; ``address`` is where other
    hypervisors reach it, empty for the only one of a site; ``mtu`` is what virtual machines may use;
    ``clusters`` are the ids of clusters of which something is there; ``broken`` says which of their networks
    can't be made, and why.
    """

    host_id: str
    kind: str
    address: str = ""
    mtu: int = 1500
    capacity: Resources
    clusters: list[str] = Field(default_factory=list)
    broken: list[str] = Field(default_factory=list)


class Mark(StrEnum):
    """What people say of a hypervisor. ``dead`` is an operator's word that nothing runs there any more."""

    OPEN = "open"
    CORDONED = "cordoned"
    DEAD = "dead"


class EnrolRequest(HypervisorReference):
    """Makes a hypervisor known, or tells what it has now."""

    facts: HypervisorFacts


class MarkRequest(HypervisorReference):
    """Says whether a hypervisor may take new machines."""

    mark: Mark


class Debt(WireModel):
    """What is still to be removed from a hypervisor that was silent when it should have been.

    An empty ``machine`` stands for everything of the cluster. ``namespace`` and ``name`` are the cluster's, and
    ``network`` the claim that is kept until it is gone.
    """

    cluster_id: str
    machine: str = ""
    namespace: str = ""
    name: str = ""
    network: str = ""


class PlacedMachine(WireModel):
    """A machine that a hypervisor has, or is to get, with its cluster."""

    cluster_id: str
    namespace: str
    name: str
    machine: str
    takes: Resources
    volume: bool = False


class HypervisorRecord(WireModel):
    """A hypervisor as it is written down. ``volume`` of a machine says that it can't be moved elsewhere."""

    site: str
    name: str
    facts: HypervisorFacts
    mark: Mark = Mark.OPEN
    enrolled_at: datetime
    machines: list[PlacedMachine] = Field(default_factory=list)
    unswept: list[Debt] = Field(default_factory=list)


class HypervisorRecords(WireModel):
    """All hypervisors of a site."""

    items: list[HypervisorRecord] = Field(default_factory=list)


class SiteReference(WireModel):
    """A site by name."""

    site: str


class PlaceRequest(WireModel):
    """Asks for a hypervisor for each of some machines of a cluster.

    Those that have one keep it, unless they are ``moving``: they don't exist now, and leave a hypervisor that
    takes no new machines. With ``only_look`` nothing is placed: it is asked whether there is room. With
    ``unremoved`` they were not removed from where they are, by an operator's word that it is dead.
    """

    cluster: ClusterContext
    machines: list[MachinePlan]
    moving: bool = False
    only_look: bool = False
    unremoved: bool = False


class VacateRequest(WireModel):
    """Gives back what hypervisors have reserved for a cluster that is gone.

    ``unswept`` names hypervisors on which it could not be removed: they owe that.
    """

    cluster: ClusterReference
    site: str
    unswept: list[str] = Field(default_factory=list)


class Vacated(WireModel):
    """Names of the hypervisors that owe the removal of a cluster now."""

    owing: list[str] = Field(default_factory=list)


class SweptRequest(HypervisorReference):
    """Says that a debt of a hypervisor is paid."""

    debt: Debt


class NetworkRequest(WireModel):
    """Asks a hypervisor for its part of a cluster's network. ``hypervisor`` is its own name."""

    cluster: ClusterContext
    hypervisor: str


class ClusterNetwork(WireModel):
    """A hypervisor's part of a cluster's network.

    ``host`` is its host number in ``network``, ``vni`` the number of the layer-2 network (RFC 7348); ``local`` and
    ``peers`` are addresses of this hypervisor and of the cluster's others, empty for the only one of a site. One
    of a lower ``version`` is out of date.
    """

    cluster_id: str
    network: str
    host: int
    mtu: int
    vni: int
    local: str = ""
    peers: list[str] = Field(default_factory=list)
    version: int = 0


class ClusterNetworks(WireModel):
    """Networks of the clusters that have machines on a hypervisor."""

    items: list[ClusterNetwork] = Field(default_factory=list)


class CheckRequest(HypervisorReference):
    """Asks a hypervisor what it has, and to be in ``networks`` as they are now."""

    networks: list[ClusterNetwork] = Field(default_factory=list)


class HypervisorPhase(StrEnum):
    """What a hypervisor is good for."""

    READY = "Ready"
    CORDONED = "Cordoned"
    SILENT = "Silent"
    DEAD = "Dead"


class HypervisorStatus(WireModel):
    """Answer of the query ``status`` of a ``Hypervisor`` workflow."""

    site: str
    name: str
    phase: HypervisorPhase
    record: HypervisorRecord | None = None
    evacuating: bool = False
    silent_since: datetime | None = None
    waiting_on: str = ""


class HypervisorInput(HypervisorReference):
    """Input of ``Hypervisor``. ``carried`` is set by the workflow alone."""

    site: str = "default"
    carried: HypervisorStatus | None = None
