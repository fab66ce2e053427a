"""What a machine is made of, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from api.release import Release
from contracts.machines import MachineRequest

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where an operating system has its programs."""


@dataclass(frozen=True)
class Layout:
    """Where things are on a machine. The defaults are those of a machine with a disk of its own.

    ``config`` is made anew at each boot; ``state`` holds keys, certificates and opened secrets and lives as
    long as the machine; ``etcd`` is the volume of a control plane slot and outlives it; ``scratch`` is for
    containers. ``binaries`` maps a command to its file where that isn't below ``/opt/bin``. ``tools`` is a folder
    of programs that the operating system lacks or has in other versions; empty where it has all that is called.
    """

    config: str = "/etc/kubernetes"
    state: str = "/var/lib/giantnetes"
    etcd: str = "/var/lib/etcd"
    scratch: str = "/var/lib"
    logs: str = "/var/log/giantnetes"
    binaries: Mapping[str, str] = field(default_factory=dict)
    tools: str = ""

    def binary(self, command: str) -> str:
        """Return the file of a command."""
        return self.binaries.get(command, f"/opt/bin/{command}")

    def tool(self, program: str) -> str:
        """Return the file of a program of the operating system, by its path there."""
        return f"{self.tools}/{PurePosixPath(program).name}" if self.tools else program

    def search_path(self, path: str) -> str:
        """Return the folders that programs are looked for in, by those of the operating system."""
        return f"{self.tools}:{path}" if self.tools else path

    def environment(self) -> dict[str, str]:
        """Return the environment of a service that calls programs wherever the operating system has them."""
        return {"PATH": self.search_path(SYSTEM_PATH)} if self.tools else {}

    def key(self, certificate: str) -> str:
        """Return the file of a certificate's private key."""
        return f"{self.state}/pki/current/{certificate}.key"

    def certificate(self, name: str) -> str:
        """Return the file of a certificate. ``current`` is switched as a whole, so key and certificate match."""
        return f"{self.state}/pki/current/{name}.crt"

    def secret(self, name: str) -> str:
        """Return the file of an opened secret."""
        return f"{self.state}/secrets/current/{name}"


@dataclass(frozen=True)
class File:
    """A file that is written at each boot, only readable by its owner. It holds no secret."""

    path: str
    content: str


@dataclass(frozen=True)
class Need:
    """A URL that answers before a service starts, and the CA that its certificate is checked against.

    ``ready`` waits for the status 200; else any answer will do.
    """

    url: str
    authority: str
    ready: bool = True

    @property
    def command(self) -> str:
        """The command of the machine program that waits for it."""
        return "await-ready" if self.ready else "await-answer"


@dataclass(frozen=True)
class Service:
    """A long-running program. It starts when ``needs``, if any, is there, and is restarted when it ends.

    ``listens`` has the ports that it opens on the machine's address. ``after`` names services that have to be up
    before. What ``starts_containers`` may end and start again without them; if it ``notifies``, it is up when it
    says so (sd_notify(3)). ``restart_seconds`` after its end it starts again. ``weight`` is its share of a virtual
    machine's processors when they are scarce, beside 100 of any other (systemd.resource-control(5)).
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Need | None = None
    listens: tuple[int, ...] = ()
    after: tuple[str, ...] = ()
    notifies: bool = False
    restart_seconds: int = 1
    starts_containers: bool = False
    weight: int = 100


@dataclass(frozen=True)
class MachineConfig:
    """All of a machine.

    ``certificates`` maps those whose keys it makes to the CA file that they are checked against;
    ``authorities`` and ``secrets`` name the files without which its services can't start.
    """

    address: str
    folders: tuple[str, ...]
    files: tuple[File, ...]
    services: tuple[Service, ...]
    certificates: Mapping[str, str]
    authorities: tuple[str, ...]
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """A piece of a machine, which several templates are put together from."""

    folders: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    services: tuple[Service, ...] = ()


@dataclass(frozen=True)
class Scope:
    """What a template is rendered from."""

    release: Release
    request: MachineRequest
    layout: Layout

    @property
    def address(self) -> str:
        """The machine's own address."""
        return self.request.cluster.address(self.request.machine.host)

    @property
    def server(self) -> str:
        """URL of the API server on this control plane machine."""
        return f"https://{self.address}:{self.request.cluster.spec.network.api_port}"

    @property
    def runs_containers(self) -> bool:
        """Whether nodes have a container runtime; those of the provider ``local`` have the imitation of one."""
        return self.request.cluster.spec.provider == "libvirt"

    @property
    def port(self) -> int:
        """Port of the API."""
        return self.request.cluster.spec.network.api_port
