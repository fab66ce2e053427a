"""Machines as virtual machines of a hypervisor (``contracts.machines.Provider``)."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock
from libvirt import virDomain

from activities.libvirt.agent import Agent, AgentSilentError
from activities.libvirt.errors import step_errors
from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.images import ensure_images, remove_overlays
from activities.libvirt.leftovers import find_leftovers
from activities.libvirt.networks import Networks
from activities.libvirt.places import DOCUMENT, ETCD, IGNITION, SCRATCH, STATE, Places, checked, searchable_folder
from activities.libvirt.units import UNITS_COMMAND, machine_state, read_units, service_states
from activities.libvirt.xml import DomainSpec, Images, SelfBooting, Volume, domain_xml
from activities.parallel import gather
from api.errors import ErrorCode
from api.release import Release
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.hypervisors import ClusterNetwork
from contracts.machines import (
    INCOMING,
    REQUESTS_COMMAND,
    CommandResult,
    Leftover,
    MachineFacts,
    MachineObservation,
    MachinePlan,
    MachineRequest,
    MachineState,
    is_meant,
)
from nodes.document import Identity
from nodes.ignition import BOOTED, LAYOUT, SCRATCH_DISK, Disk, disks_of, render_ignition
from nodes.machine.store import private_folder, write_file
from nodes.model import MachineConfig
from nodes.networking import Addresses
from nodes.render import render
from nodes.self_booting import with_tools
from nodes.systemd import MACHINE_PROGRAM
from planning.placement import network_on
from planning.releases import load_releases

LOCK_SECONDS = 120.0
NOT_FOUND = 127
GRACE_SECONDS = 60.0
"""How long a machine that is to end gracefully may take."""

SIZES_MIB = {STATE: 2048, ETCD: 16384, SCRATCH: 65536}
"""What volumes may grow to; they begin at a few hundred KiB."""


@dataclass(frozen=True)
class Settings:
    """How a hypervisor is used.

    ``folder`` is the provider's own, ``uri`` that of libvirt's daemon, ``kind`` ``kvm`` or ``qemu``;
    ``nameservers`` are those of machines, ``management`` the networks (CIDRs) that machines may not reach;
    ``address`` is where other hypervisors of the site reach this one, empty when there are none.
    """

    folder: Path
    uri: str = "qemu:///system"
    kind: str = "kvm"
    nameservers: tuple[str, ...] = ()
    management: tuple[str, ...] = ()
    address: str = ""


class LibvirtProvider:
    """Fulfils ``contracts.machines.Provider`` on one hypervisor.

    ``images`` returns the files of ``activities.libvirt.xml.Images`` that there are for a release.
    """

    def __init__(self, settings: Settings, images: Callable[[Release], Mapping[str, Path]]) -> None:
        """Make nothing yet."""
        self._settings = settings
        self._places = Places(settings.folder)
        self._hypervisor = Hypervisor(settings.uri, self._places.volumes)
        self._networks = Networks(self._places, self._hypervisor, settings.management)
        self._images = images

    def ensure_endpoint(self, cluster: ClusterContext, slots: list[MachinePlan]) -> None:
        """Nothing to do: one slot is reached at its own address, and several share one (``nodes.v1.endpoint``)."""
        del cluster, slots

    def ensure_machine(
        self, cluster: ClusterContext, machine: MachinePlan, slots: list[MachinePlan]
    ) -> MachineFacts:
        """Make the machine unless it exists, and switch it on unless it is. An existing one is never changed."""
        cluster_id = cluster.cluster_id
        with step_errors(f"bringing the images of {cluster.spec.release}"):
            self._refuse_deleted(cluster_id)
            # Before others of the cluster would have to wait for a download.
            images = ensure_images(self._places.images, _release(cluster), self._images)
        with self._changing(cluster_id, machine.name):
            self._refuse_deleted(cluster_id)
            folder = self._places.machine(cluster_id, machine.name)
            document = _read(folder)
            created = document is None
            if machine.has_data:
                self._check_volume(cluster_id, machine)
            if document is None:
                document = self._create(MachineRequest(cluster=cluster, machine=machine, slots=slots), folder)
            name = self._places.domain(cluster_id, machine.name)
            self._networks.ensure(_network(cluster, machine))
            uuid = document["instance_id"]
            self._renew(cluster_id, machine.name, uuid)
            self._hypervisor.ensure_domain(name, uuid, lambda: self._domain(cluster, machine, document, images))
            return MachineFacts(
                name=machine.name,
                instance_id=document["instance_id"],
                address=document["address"],
                created=created,
            )

    def observe_machine(self, cluster_id: str, name: str) -> MachineObservation:
        """Look at the domain, and ask systemd in it through the guest agent."""
        with step_errors(f"looking at machine {name} of {cluster_id}"):
            document = _read(self._places.machine(cluster_id, name))
            if document is None:
                return MachineObservation(name=name, state=MachineState.ABSENT)
            state, services = self._look(document)
            return MachineObservation(
                name=name, state=state, instance_id=document["instance_id"], services=services
            )

    def fence_machine(
        self, cluster_id: str, name: str, instance_id: str | None = None, *, graceful: bool = False
    ) -> None:
        """Destroy the domain, also across restarts of the hypervisor, and see that it is off. It stays defined."""
        with self._changing(cluster_id, name):
            if not is_meant(self._instance(cluster_id, name), instance_id):
                return
            for domain in self._domains(cluster_id, name):
                self._hypervisor.stop_domain(domain, GRACE_SECONDS if graceful else 0)

    def delete_machine(self, cluster_id: str, name: str, instance_id: str | None = None) -> None:
        """Destroy the domain with all of its volumes but the slot's."""
        with self._changing(cluster_id, name):
            if is_meant(self._instance(cluster_id, name), instance_id):
                self._delete(cluster_id, name)

    def write_files(self, cluster_id: str, name: str, files: dict[str, str]) -> None:
        """Write files into the machine's incoming folder, through the guest agent."""
        with step_errors(f"writing files to machine {name} of {cluster_id}"):
            self._refuse_deleted(cluster_id)
            agent = self._agent(cluster_id, name)
            if foreign := [file for file in files if Path(file).name != file or file.startswith(".")]:
                raise StepError(ErrorCode.INTERNAL, f"{foreign[0]!r} is no plain file name")
            with _answering(name):
                agent.set_clock(time.time())
                result = agent.write_files(f"{LAYOUT.state}/{INCOMING}", files, BOOTED)
            if result.exit_status:
                raise StepError(ErrorCode.MACHINE_NOT_READY, f"machine {name}: {result.stderr.strip()}")

    def run_command(self, cluster_id: str, name: str, command: list[str]) -> CommandResult:
        """Run the machine program through the guest agent; a machine has no other commands for us."""
        with step_errors(f"running a command on machine {name} of {cluster_id}"):
            agent = self._agent(cluster_id, name)
            program, *arguments = command
            if program != REQUESTS_COMMAND[0]:
                return CommandResult(exit_status=NOT_FOUND, stdout="", stderr=f"{program}: command not found")
            with _answering(name):
                agent.set_clock(time.time())
                return agent.run([MACHINE_PROGRAM, *arguments])

    def delete_all(self, cluster_id: str) -> None:
        """Destroy everything of the cluster, and refuse to make anything of it again."""
        with self._changing(cluster_id, "everything"):
            tombstone = self._places.tombstone(cluster_id)
            private_folder(tombstone.parent)
            write_file(tombstone, b"")
            names = {left.name for left in self.list_left(cluster_id) if left.kind == "machine"}
            gather([partial(self._delete, cluster_id, name) for name in names])
            for volume in self._hypervisor.volume_names():
                if volume.startswith(f"{checked(cluster_id)}."):
                    self._hypervisor.remove_volume(volume)
            self._networks.remove(cluster_id)
            _clear(self._places.machines / checked(cluster_id))
            if left := self.list_left(cluster_id):
                listed = ", ".join(f"{item.kind} {item.name}" for item in left)
                raise StepError(ErrorCode.NOT_GONE, f"{listed} of {cluster_id} turned up again")

    def list_left(self, cluster_id: str = "") -> list[Leftover]:
        """List machines, volumes and networks of one cluster, or of all."""
        with step_errors("looking for what is left"):
            return find_leftovers(self._places, self._hypervisor, self._networks, cluster_id)

    def _create(self, request: MachineRequest, folder: Path) -> dict[str, Any]:
        """Write down what the machine is; its document comes last, and makes it exist."""
        config, cluster = self._render(request), request.cluster
        identity = Identity(name=request.machine.name, instance_id=str(uuid4()))
        network = _network(cluster, request.machine)
        gateway, length = cluster.address(network.host), IPv4Network(cluster.machine_network).prefixlen
        nameservers = self._settings.nameservers or (
            gateway,
        )  # cluster DNS wants one to forward to, if only in vain
        addresses = Addresses(config.address, length, gateway, network.mtu, nameservers)
        document = {
            "instance_id": identity.instance_id,
            "address": config.address,
            "services": [service.name for service in config.services],
        }
        _clear(folder)
        searchable_folder(folder)
        disks, self_booting = disks_of(request.machine.role), _boots_itself(cluster)
        ignition = render_ignition(identity, config, addresses, disks, self_booting=self_booting)
        write_file(folder / IGNITION, ignition.encode())
        write_file(folder / DOCUMENT, json.dumps(document).encode())
        return document

    def _render(self, request: MachineRequest) -> MachineConfig:
        layout = with_tools(LAYOUT) if _boots_itself(request.cluster) else LAYOUT
        return render(_release(request.cluster), request, layout)

    def _domain(
        self,
        cluster: ClusterContext,
        machine: MachinePlan,
        document: dict[str, Any],
        images: Images | SelfBooting,
    ) -> str:
        """Make a machine's volumes, and return what its domain is to be."""
        cluster_id = cluster.cluster_id
        console = self._places.console(cluster_id, machine.name)
        searchable_folder(console.parent)
        spec = DomainSpec(
            kind=self._settings.kind,
            name=self._places.domain(cluster_id, machine.name),
            uuid=document["instance_id"],
            cluster_id=cluster_id,
            machine=machine.name,
            cpus=machine.size.cpus,
            memory_mib=machine.size.memory_mib,
            images=images,
            ignition=self._places.machine(cluster_id, machine.name) / IGNITION,
            console=console,
            volumes=tuple(self._volume(cluster_id, machine.name, disk) for disk in disks_of(machine.role)),
            network=self._places.network(cluster_id),
        )
        return domain_xml(spec)

    def _check_volume(self, cluster_id: str, machine: MachinePlan) -> None:
        volume = self._places.volume(cluster_id, machine.name, ETCD)
        if volume not in self._hypervisor.volume_names():
            raise StepError(ErrorCode.VOLUME_LOST, f"volume {volume} of {machine.name} is not there any more")

    def _volume(self, cluster_id: str, name: str, disk: Disk) -> Volume:
        volume = self._places.volume(cluster_id, name, disk.serial)
        return Volume(self._hypervisor.ensure_volume(volume, SIZES_MIB[disk.serial]), disk.serial, disk.keep)

    def _renew(self, cluster_id: str, name: str, uuid: str) -> None:
        """Make what a machine that is off has no use for anew: its scratch volume may be what fills the disk."""
        domain = self._hypervisor.domain_with(uuid)
        if domain is not None and self._hypervisor.is_off(domain, paused=False):
            remove_overlays(self._places.images, domain.name())
            self._hypervisor.remove_volume(self._places.volume(cluster_id, name, SCRATCH))
            self._volume(cluster_id, name, SCRATCH_DISK)

    def _delete(self, cluster_id: str, name: str) -> None:
        for domain in self._domains(cluster_id, name):
            self._hypervisor.remove_domain(domain)
        if self._domains(cluster_id, name):
            raise StepError(ErrorCode.NOT_GONE, f"the domain of {name} is there again after its removal")
        remove_overlays(self._places.images, self._places.domain(cluster_id, name))
        for kind in (STATE, SCRATCH):
            self._hypervisor.remove_volume(self._places.volume(cluster_id, name, kind))
        _clear(self._places.machine(cluster_id, name))
        console = self._places.console(cluster_id, name)
        for log in console.parent.glob(f"{console.name}*"):
            log.unlink(missing_ok=True)

    def _domains(self, cluster_id: str, name: str) -> list[virDomain]:
        domain, uuid = self._places.domain(cluster_id, name), self._instance(cluster_id, name)
        return self._hypervisor.machine_domains(domain, uuid, (cluster_id, name))

    def _instance(self, cluster_id: str, name: str) -> str:
        document = _read(self._places.machine(cluster_id, name)) or {}
        return str(document.get("instance_id", ""))

    def _look(self, document: dict[str, Any]) -> tuple[MachineState, dict[str, str]]:
        domain = self._hypervisor.domain_with(document["instance_id"])
        if domain is None or self._hypervisor.is_off(domain):
            return MachineState.STOPPED, {}
        agent = Agent(domain)
        try:
            agent.set_clock(time.time())
            result = agent.run([*UNITS_COMMAND, *(f"{service}.service" for service in document["services"])])
        except (AgentSilentError, StepError):  # what a machine can't tell must not keep it from being fenced
            return MachineState.BOOTING, {}
        units = read_units(result.stdout)
        return machine_state(units), service_states(units)

    def _agent(self, cluster_id: str, name: str) -> Agent:
        document = _read(self._places.machine(cluster_id, name))
        domain = self._hypervisor.domain_with(document["instance_id"]) if document else None
        if domain is None:
            raise StepError(ErrorCode.MACHINE_NOT_READY, f"there is no machine {name} of {cluster_id}")
        if self._hypervisor.is_off(domain):
            raise StepError(ErrorCode.MACHINE_NOT_READY, f"machine {name} of {cluster_id} is switched off")
        return Agent(domain)

    def _refuse_deleted(self, cluster_id: str) -> None:
        if self._places.tombstone(cluster_id).exists():
            raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {cluster_id} has been deleted")

    @contextlib.contextmanager
    def _changing(self, cluster_id: str, name: str) -> Iterator[None]:
        """Let one caller at a time change a cluster, be it a thread or another process."""
        with step_errors(f"changing {name} of cluster {cluster_id}"):
            path = self._places.lock(cluster_id)
            private_folder(path.parent)
            with FileLock(path, timeout=LOCK_SECONDS):
                yield


def _network(cluster: ClusterContext, machine: MachinePlan) -> ClusterNetwork:
    placed = cluster.placements
    return network_on(cluster.cluster_id, cluster.machine_network, placed, placed.machines.get(machine.name, ""))


def _release(cluster: ClusterContext) -> Release:
    release = load_releases().get(cluster.spec.release)
    if release is None:
        raise StepError(ErrorCode.UNKNOWN_RELEASE, f"there is no release {cluster.spec.release}")
    return release


def _boots_itself(cluster: ClusterContext) -> bool:
    """Whether a cluster's machines have another operating system than the node image."""
    return _release(cluster).machine_images.system is not None


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((folder / DOCUMENT).read_text()))
    except FileNotFoundError:
        return None


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def _answering(name: str) -> Iterator[None]:
    try:
        yield
    except AgentSilentError as error:
        raise StepError(ErrorCode.MACHINE_NOT_READY, f"the agent of machine {name} is silent: {error}") from error
