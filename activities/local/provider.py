"""Machines as groups of processes on this machine (``contracts.machines.Provider``)."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from activities.local import assembly, commands
from activities.local.endpoint import endpoint_files, endpoint_service
from activities.local.errors import step_errors
from activities.local.folders import ENDPOINT, Folders
from activities.local.groups import render_group, service_program
from activities.local.leftovers import find_leftovers
from activities.local.power import Power, machine_state, service_states
from activities.local.supervisor import Supervisor
from api.errors import ErrorCode
from api.release import Release
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.machines import (
    INCOMING,
    CommandResult,
    Leftover,
    MachineFacts,
    MachineObservation,
    MachinePlan,
    MachineRequest,
    MachineState,
    is_meant,
)
from nodes.machine.machine import LOCK
from nodes.machine.store import private_folder, write_file
from nodes.model import MachineConfig
from nodes.render import render
from planning.releases import load_releases

LOCK_SECONDS = 30.0
LOCK_POLL_SECONDS = 0.005
PARALLEL = 8


class LocalProvider:
    """Fulfils ``contracts.machines.Provider`` on this machine.

    ``state`` is the folder of the local stack, ``supervisor`` its supervisord, which answers at ``socket`` and
    reads ``<state>/supervisor/machines/*.conf``. ``binaries`` returns the executables of a release by command,
    those that are there; ``balancer`` is Traefik's.
    """

    def __init__(
        self,
        state: Path,
        supervisor: Supervisor,
        socket: Path,
        binaries: Callable[[Release], Mapping[str, Path]],
        balancer: Path,
    ) -> None:
        """Make nothing yet."""
        self._folders = Folders(state)
        self._power = Power(self._folders, supervisor)
        self._socket = socket
        self._binaries = binaries
        self._balancer = balancer

    def ensure_endpoint(self, cluster: ClusterContext, slots: list[MachinePlan]) -> None:
        """Run a balancer in front of three slots. One slot is reached at its own address."""
        if len(slots) == 1:
            return
        with self._changing(cluster.cluster_id, ENDPOINT):
            self._refuse_deleted(cluster.cluster_id)
            folder = self._folders.machine(cluster.cluster_id, ENDPOINT)
            if not (folder / assembly.PROGRAMS).exists():
                self._create_endpoint(cluster, slots, folder)
            address = cluster.address(cluster.endpoint_host)
            self._power.on(cluster.cluster_id, ENDPOINT, address, [cluster.spec.network.api_port])

    def ensure_machine(
        self, cluster: ClusterContext, machine: MachinePlan, slots: list[MachinePlan]
    ) -> MachineFacts:
        """Make the machine unless it exists, and switch it on unless it is. An existing one is never changed."""
        with self._changing(cluster.cluster_id, machine.name):
            self._refuse_deleted(cluster.cluster_id)
            folder = self._folders.machine(cluster.cluster_id, machine.name)
            created = assembly.read_document(folder) is None
            if machine.has_data:
                self._check_volume(cluster.cluster_id, machine)
            if created:
                self._create(MachineRequest(cluster=cluster, machine=machine, slots=slots), folder)
            document = assembly.read_document(folder) or {}
            self._power.on(cluster.cluster_id, machine.name, document["address"], document["ports"])
            return MachineFacts(
                name=machine.name,
                instance_id=document["instance_id"],
                address=document["address"],
                created=created,
            )

    def observe_machine(self, cluster_id: str, name: str) -> MachineObservation:
        """Look at the machine's folder and at what the supervisor says."""
        with step_errors(f"looking at machine {name} of {cluster_id}"):
            document = assembly.read_document(self._folders.machine(cluster_id, name))
            if document is None:
                return MachineObservation(name=name, state=MachineState.ABSENT)
            programs = self._power.programs(cluster_id, name)
            return MachineObservation(
                name=name,
                state=machine_state(programs),
                instance_id=document["instance_id"],
                services=service_states(programs),
            )

    def fence_machine(
        self,
        cluster_id: str,
        name: str,
        instance_id: str | None = None,
        *,
        graceful: bool = False,  # noqa: ARG002 - supervisord gives processes their time in any case
    ) -> None:
        """Switch the machine off, also across restarts of the supervisor, and see that no process is left."""
        with self._changing(cluster_id, name):
            if is_meant(self._instance(cluster_id, name), instance_id):
                self._power.off(cluster_id, name)

    def delete_machine(self, cluster_id: str, name: str, instance_id: str | None = None) -> None:
        """Switch the machine off and remove its folder; a slot's volume stays."""
        with self._changing(cluster_id, name):
            if not is_meant(self._instance(cluster_id, name), instance_id):
                return
            self._power.off(cluster_id, name)
            assembly.clear(self._folders.machine(cluster_id, name))

    def write_files(self, cluster_id: str, name: str, files: dict[str, str]) -> None:
        """Write files into the machine's incoming folder."""
        with self._changing(cluster_id, name):  # else it could make folders anew that a deletion removes
            self._refuse_deleted(cluster_id)
            folder = self._existing(cluster_id, name)
            incoming = private_folder(folder / "state" / INCOMING)
            with FileLock(folder / LOCK, timeout=LOCK_SECONDS, poll_interval=LOCK_POLL_SECONDS):
                for file, content in files.items():
                    write_file(incoming / _plain(file), content.encode())

    def run_command(self, cluster_id: str, name: str, command: list[str]) -> CommandResult:
        """Run a command on the machine, which must be switched on."""
        with step_errors(f"running a command on machine {name} of {cluster_id}"):
            folder = self._existing(cluster_id, name)
            if not self._power.programs(cluster_id, name):
                raise StepError(ErrorCode.MACHINE_NOT_READY, f"machine {name} of {cluster_id} is switched off")
            return commands.run(folder, command)

    def delete_all(self, cluster_id: str) -> None:
        """Kill and remove everything of the cluster, and refuse to make anything of it again."""
        with self._changing(cluster_id, "everything"):
            tombstone = self._folders.tombstone(cluster_id)
            private_folder(tombstone.parent)
            write_file(tombstone, b"")
            names = {name for _, name in self._power.on_now(cluster_id)} | set(self._folders.names(cluster_id))
            with ThreadPoolExecutor(PARALLEL) as pool:
                list(pool.map(lambda name: self._power.off(cluster_id, name), names))
            assembly.clear(self._folders.machines / cluster_id)
            assembly.clear(self._folders.volumes / cluster_id)
            if left := find_leftovers(self._folders, self._power, cluster_id):
                listed = ", ".join(f"{item.kind} {item.name}" for item in left)
                raise StepError(ErrorCode.NOT_GONE, f"{listed} of {cluster_id} turned up again")

    def list_left(self, cluster_id: str = "") -> list[Leftover]:
        """List machines, endpoints, volumes and processes of one cluster, or of all."""
        with step_errors("looking for what is left"):
            return find_leftovers(self._folders, self._power, cluster_id)

    def _create(self, request: MachineRequest, folder: Path) -> None:
        config = self._render(request, folder)
        group = self._folders.group(request.cluster.cluster_id, request.machine.name)
        files = assembly.machine_files(folder, self._folders.state, self._socket, group, config)
        assembly.make_folder(folder, files)

    def _check_volume(self, cluster_id: str, machine: MachinePlan) -> None:
        volume = self._folders.volume(cluster_id, machine.name)
        if not (volume / "data" / "member").is_dir():
            raise StepError(ErrorCode.VOLUME_LOST, f"the etcd data of {machine.name} is not at {volume} any more")

    def _create_endpoint(self, cluster: ClusterContext, slots: list[MachinePlan], folder: Path) -> None:
        if not self._balancer.is_file():
            raise StepError(ErrorCode.BINARIES_MISSING, f"there is no Traefik at {self._balancer}: run `uv sync`")
        balancer = service_program(endpoint_service(folder, self._balancer), autostart=True)
        group = self._folders.group(cluster.cluster_id, ENDPOINT)
        programs = render_group(group, folder, self._folders.state, [balancer])
        assembly.make_folder(folder, {**endpoint_files(folder, cluster, slots), assembly.PROGRAMS: programs})

    def _render(self, request: MachineRequest, folder: Path) -> MachineConfig:
        name = request.cluster.spec.release
        release = load_releases().get(name)
        if release is None:
            raise StepError(ErrorCode.UNKNOWN_RELEASE, f"there is no release {name}")
        volume = self._folders.volume(request.cluster.cluster_id, request.machine.name)
        binaries = {command: str(path) for command, path in self._binaries(release).items()}
        config = render(release, request, assembly.layout(folder, volume, binaries))
        assembly.check_binaries(config, name)
        return config

    def _existing(self, cluster_id: str, name: str) -> Path:
        folder = self._folders.machine(cluster_id, name)
        if assembly.read_document(folder) is None:
            raise StepError(ErrorCode.MACHINE_NOT_READY, f"there is no machine {name} of {cluster_id}")
        return folder

    def _instance(self, cluster_id: str, name: str) -> str:
        document = assembly.read_document(self._folders.machine(cluster_id, name)) or {}
        return str(document.get("instance_id", ""))

    def _refuse_deleted(self, cluster_id: str) -> None:
        if self._folders.tombstone(cluster_id).exists():
            raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {cluster_id} has been deleted")

    @contextlib.contextmanager
    def _changing(self, cluster_id: str, name: str) -> Iterator[None]:
        """Let one caller at a time change a cluster, be it a thread or another process."""
        with step_errors(f"changing {name} of cluster {cluster_id}"):
            path = self._folders.lock(cluster_id)
            private_folder(path.parent)
            with FileLock(path, timeout=LOCK_SECONDS, poll_interval=LOCK_POLL_SECONDS):
                yield


def _plain(file: str) -> str:
    if not file or Path(file).name != file or file.startswith("."):
        raise StepError(ErrorCode.INTERNAL, f"{file!r} is no plain file name")
    return file
