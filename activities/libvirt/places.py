"""Names and files of what the provider makes on a hypervisor."""

import hashlib
import re
from pathlib import Path

from activities.libvirt.overlay import DEVICES
from api.errors import ErrorCode
from contracts.errors import StepError

DOCUMENT = "machine.json"
"""Written first of all, before anything of the machine exists: it pins the domain's uuid."""

IGNITION = "ignition.json"
STATE, ETCD, SCRATCH = "state", "etcd", "scratch"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Places:
    """Files below the provider's folder on a hypervisor, and names in libvirt."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the provider's own; qemu must be able to read below it."""
        self.folder = folder
        self.machines = folder / "machines"
        self.volumes = folder / "volumes"
        self.images = folder / "images"
        self.networks = folder / "networks"
        self.networks_lock = folder / "locks" / ".networks"
        self.firewall = folder / "firewall.nft"

    def machine(self, cluster_id: str, name: str) -> Path:
        """Return the folder of a machine: its document and its Ignition configuration."""
        return self.machines / checked(cluster_id) / checked(name)

    def console(self, cluster_id: str, name: str) -> Path:
        """Return the log of a machine's serial console, which virtlogd rotates."""
        return self.folder / "consoles" / f"{self.domain(cluster_id, name)}.log"

    def tombstone(self, cluster_id: str) -> Path:
        """Return the file that says that a cluster was deleted."""
        return self.folder / "tombstones" / checked(cluster_id)

    def lock(self, cluster_id: str) -> Path:
        """Return the file that those who change a cluster take turns by."""
        return self.folder / "locks" / f"{checked(cluster_id)}.lock"

    def domain(self, cluster_id: str, name: str) -> str:
        """Return the name of a machine's domain."""
        return f"{checked(cluster_id)}.{checked(name)}"

    def volume(self, cluster_id: str, name: str, kind: str) -> str:
        """Return the name of a machine's or slot's volume; ``owner_of`` reads it again."""
        return f"{self.domain(cluster_id, name)}.{kind}"

    def network_document(self, cluster_id: str) -> Path:
        """Return the file that says what this hypervisor's part of a cluster's network is."""
        return self.networks / f"{checked(cluster_id)}.json"

    def network(self, cluster_id: str) -> str:
        """Return the name of a cluster's network."""
        return f"g8s.{checked(cluster_id)}"

    def bridge(self, cluster_id: str) -> str:
        """Return the name of a cluster's bridge: the kernel allows 15 characters (IFNAMSIZ)."""
        return f"g8s{_digest(cluster_id)}"

    def overlay(self, cluster_id: str) -> str:
        """Return the name of the VXLAN device in a cluster's bridge."""
        return f"{DEVICES}{_digest(cluster_id)}"


def _digest(cluster_id: str) -> str:
    return hashlib.sha256(checked(cluster_id).encode()).hexdigest()[:10]


def owner_of(volume: str) -> tuple[str, str, str] | None:
    """Return cluster id, machine and kind of a volume by its name, None when it isn't the provider's."""
    parts = volume.split(".")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


def searchable_folder(path: Path) -> None:
    """Make a folder, and those missing above it, whose files others may open by name, as the user of QEMU does."""
    for folder in [*reversed(path.parents), path]:
        folder.mkdir(mode=0o711, exist_ok=True)


def checked(name: str) -> str:
    """Names become paths and names in libvirt, so only labels pass."""
    if not _NAME.fullmatch(name):
        raise StepError(ErrorCode.INTERNAL, f"{name!r} can't name a cluster or a machine: it is no DNS label")
    return name
