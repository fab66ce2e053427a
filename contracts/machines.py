"""Machines, and the port that a provider of machines fulfils."""

from enum import StrEnum
from itertools import chain
from typing import Protocol

from pydantic import Field

from api.cluster import ClusterSpec, MachineSize, Taint
from contracts.context import ClusterContext
from contracts.model import WireModel

REQUESTS_COMMAND = ["giantnetes-machine", "requests"]
"""Prints the machine's ``MachineRequests`` as JSON; fails while it has not booted."""

INSTALL_COMMAND = ["giantnetes-machine", "install"]
"""Takes over what lies in ``INCOMING``: opens the sealed secrets, switches directories, starts services."""

RENEW_COMMAND = ["giantnetes-machine", "renew"]
"""With names of certificates after it: makes new keys for them, and prints ``MachineRequests`` with these."""

SEEN_COMMAND = ["giantnetes-machine", "seen"]
"""With credentials after it (``contracts.vault.Issued``): prints those that its API server has met of late."""

INCOMING = "incoming"
"""Folder, below the machine's state, that files are written to: certificates and sealed secrets."""

SEALED = "sealed.p7m"
"""The file in ``INCOMING`` with the CMS envelope (RFC 5652), PEM: a JSON object of file name to text."""


class MachineRole(StrEnum):
    """What a machine does."""

    CONTROL_PLANE = "control-plane"
    NODE = "node"


def control_planes_are_nodes(provider: str) -> bool:
    """Say whether control plane machines of a provider run pods too, as real ones must for webhooks to work.

    The API server reaches pods by the routes of the node that it runs on.
    """
    return provider == "libvirt"


def has_hypervisors(provider: str) -> bool:
    """Say whether machines of a provider are placed on hypervisors, each with a worker of its own."""
    return provider == "libvirt"


def slot_name(number: int) -> str:
    """Return the name of a control plane slot, numbered from 1, and of the machine that fills it."""
    return f"control-plane-{number}"


def node_name(pool: str, number: int) -> str:
    """Return the name of a node of a pool, numbered from 1."""
    return f"{pool}-{number}"


def slot_names(spec: ClusterSpec) -> list[str]:
    """Return the names of the control plane machines that a cluster is to have."""
    return [slot_name(index + 1) for index in range(spec.control_plane.replicas)]


def node_names(spec: ClusterSpec) -> dict[str, list[str]]:
    """Return the names of the nodes that a cluster is to have, by pool."""
    return {
        pool.name: [node_name(pool.name, index + 1) for index in range(pool.replicas)] for pool in spec.node_pools
    }


def machine_names(spec: ClusterSpec) -> list[str]:
    """Return the names of all machines that a cluster is to have, control plane first."""
    return [*slot_names(spec), *chain.from_iterable(node_names(spec).values())]


class MachinePlan(WireModel):
    """A machine to be. ``host`` is its host number in the machine network; ``pool`` is empty for slots.

    ``has_data`` says that the slot's volume has been used: a machine is never made on an empty one in its place.
    """

    name: str
    role: MachineRole
    host: int
    pool: str = ""
    size: MachineSize = Field(default_factory=MachineSize)
    labels: dict[str, str] = Field(default_factory=dict)
    taints: list[Taint] = Field(default_factory=list)
    has_data: bool = False


class MachineRequest(WireModel):
    """Asks for one machine of one cluster. ``machines`` lists the control plane slots, for etcd's members."""

    cluster: ClusterContext
    machine: MachinePlan
    slots: list[MachinePlan] = Field(default_factory=list)


class MachineFacts(WireModel):
    """What identifies a machine that exists: the instance id proves which machine a request came from."""

    name: str
    instance_id: str
    address: str
    created: bool = False


class MachineState(StrEnum):
    """What a provider sees of a machine."""

    ABSENT = "absent"
    BOOTING = "booting"
    UP = "up"
    FAILED = "failed"
    STOPPED = "stopped"


class MachineObservation(WireModel):
    """A look at a machine. ``services`` maps a service's name to running, stopped or failed."""

    name: str
    state: MachineState
    instance_id: str = ""
    services: dict[str, str] = Field(default_factory=dict)

    @property
    def well(self) -> bool:
        """Whether the machine is up with all of its services."""
        return self.state is MachineState.UP and set(self.services.values()) <= {"running"}


class MachinesReference(WireModel):
    """Machines of a cluster, by name.

    ``instances`` maps names to the instance ids that were seen, empty for none: no other instance is meant.
    ``graceful`` says that they are given the time to end by themselves when they are stopped.
    """

    cluster_id: str
    names: list[str]
    instances: dict[str, str] = Field(default_factory=dict)
    graceful: bool = False


def is_meant(current: str, instance_id: str | None) -> bool:
    """Say whether what is to be done to instance ``instance_id`` may be done while ``current`` has its name.

    None stands for whatever instance there is; an empty ``current`` says that there is none, or half of one.
    """
    return instance_id is None or current in {"", instance_id}


class MachineObservations(WireModel):
    """A look at several machines."""

    items: list[MachineObservation] = Field(default_factory=list)


class MachineRequests(WireModel):
    """Public keys of a booted machine.

    ``requests`` maps certificate names to PKCS #10 requests (RFC 2986, PEM, empty subject) for which the
    machine holds no valid certificate of the planned kind; ``sealing_certificate`` (PEM, self-signed, RSA)
    is what secrets are sealed to, empty when the machine needs none or has them.
    """

    instance_id: str
    requests: dict[str, str] = Field(default_factory=dict)
    sealing_certificate: str = ""


class RenewRequest(WireModel):
    """Asks a machine for new keys, for the certificates ``names``."""

    cluster: ClusterContext
    machine: MachinePlan
    names: list[str]


class CredentialsRequest(WireModel):
    """Asks which of ``credentials`` the API server of control plane machine ``machine`` has met of late."""

    cluster_id: str
    machine: str
    credentials: list[str]


class CredentialsSeen(WireModel):
    """Those that were met."""

    credentials: list[str] = Field(default_factory=list)


class InstallRequest(WireModel):
    """Files for a machine's incoming folder, by name: certificates and ciphertext, never a secret."""

    cluster: ClusterContext
    machine: MachinePlan
    files: dict[str, str] = Field(default_factory=dict)


class EndpointRequest(WireModel):
    """Asks for one address in front of the control plane slots."""

    cluster: ClusterContext
    slots: list[MachinePlan]


class ClusterReference(WireModel):
    """A cluster by the id that everything of it is tagged with."""

    cluster_id: str
    namespace: str = ""
    name: str = ""


class CommandResult(WireModel):
    """Result of a command on a machine."""

    exit_status: int
    stdout: str
    stderr: str


class Leftover(WireModel):
    """Something that exists outside: its kind, its name, and the cluster id that it is tagged with."""

    kind: str
    name: str
    cluster_id: str


class Leftovers(WireModel):
    """What was found."""

    items: list[Leftover] = Field(default_factory=list)


class Provider(Protocol):
    """Where machines come from. Every method is idempotent and raises only ``contracts.errors.StepError``.

    Everything that a provider makes is tagged with the cluster id and found again by it. ``delete_all``
    leaves a tombstone, so that a late ``ensure`` of the same cluster id is refused (``ClusterDeleted``).
    """

    def ensure_endpoint(self, cluster: ClusterContext, slots: list[MachinePlan]) -> None:
        """Make the API's address answer for the slots. Nothing to do for one slot."""
        ...

    def ensure_machine(
        self, cluster: ClusterContext, machine: MachinePlan, slots: list[MachinePlan]
    ) -> MachineFacts:
        """Make the machine exist and boot; return without waiting for the boot.

        Raises VOLUME_LOST, before anything is made, when the slot's volume ``has_data`` and isn't there.
        """
        ...

    def observe_machine(self, cluster_id: str, name: str) -> MachineObservation:
        """Look at one machine."""
        ...

    def fence_machine(
        self, cluster_id: str, name: str, instance_id: str | None = None, *, graceful: bool = False
    ) -> None:
        """Stop the machine, and return only when it has been seen stopped. Its volumes stay.

        With ``graceful`` its services are given the time to end by themselves, within a minute.

        With ``instance_id`` nothing is done to another instance: a request that comes late, when there is the
        next one already, must not harm that.
        """
        ...

    def delete_machine(self, cluster_id: str, name: str, instance_id: str | None = None) -> None:
        """Fence the machine and destroy it with its state; a control plane slot's etcd volume stays.

        With ``instance_id`` nothing is done to another instance.
        """
        ...

    def write_files(self, cluster_id: str, name: str, files: dict[str, str]) -> None:
        """Write files (name to text, mode 0600) into the machine's incoming folder."""
        ...

    def run_command(self, cluster_id: str, name: str, command: list[str]) -> CommandResult:
        """Run a command on the machine, for at most 60 seconds."""
        ...

    def delete_all(self, cluster_id: str) -> None:
        """Destroy everything of the cluster: machines, endpoint, volumes."""
        ...

    def list_left(self, cluster_id: str = "") -> list[Leftover]:
        """List what exists of one cluster, or of all."""
        ...
