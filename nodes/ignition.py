"""A machine as an Ignition configuration, without secrets (https://coreos.github.io/ignition/configuration-v3_3/)."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from contracts.machines import MachineRole
from nodes.document import Identity, render_document
from nodes.model import Layout, MachineConfig
from nodes.systemd import (
    BOOT_UNIT,
    boot_unit,
    mount_name,
    mount_unit,
    need_name,
    need_unit,
    service_unit,
    unit_name,
)

VERSION = "3.3.0"
"""The newest that the Ignition of the node image knows."""

FOLDER = "/var/lib/giantnetes"
"""The folder of the machine program."""

BOOTED = f"{FOLDER}/root/booted"
"""The file that says that a boot has come to its end."""

SCRATCH = "/var/lib/scratch"
"""Where containers and what they write are: in memory they would fill it."""

LAYOUT = Layout(state=f"{FOLDER}/state", logs=f"{FOLDER}/state/log", scratch=SCRATCH)
"""Where things are on a machine with disks of its own."""


@dataclass(frozen=True)
class Addresses:
    """A machine's own address with the length of its prefix, its way out, and who it asks for names."""

    address: str
    prefix: int
    gateway: str
    mtu: int
    nameservers: tuple[str, ...]


@dataclass(frozen=True)
class Disk:
    """A disk by its serial number, and where it is mounted; ``keep`` what is on it through boots."""

    serial: str
    path: str
    keep: bool = True

    @property
    def device(self) -> str:
        """The disk's name below /dev, as udev makes it for virtio disks."""
        return f"/dev/disk/by-id/virtio-{self.serial}"


RELEASE_DISK = Disk("release", "/opt")
STATE_DISK = Disk("state", LAYOUT.state)
ETCD_DISK = Disk("etcd", LAYOUT.etcd)
SCRATCH_DISK = Disk("scratch", SCRATCH, keep=False)


def disks_of(role: MachineRole) -> list[Disk]:
    """Return the disks of a machine beside those that all share."""
    return [STATE_DISK, *([ETCD_DISK] if role is MachineRole.CONTROL_PLANE else []), SCRATCH_DISK]


def render_ignition(identity: Identity, config: MachineConfig, addresses: Addresses, disks: list[Disk]) -> str:
    """Return the configuration of a machine with ``disks`` beside the one of its release."""
    needs = dict.fromkeys(service.needs for service in config.services if service.needs)
    units = [
        (mount_name(RELEASE_DISK.path), mount_unit(RELEASE_DISK.device, RELEASE_DISK.path, "erofs", "ro"), True),
        *((mount_name(disk.path), mount_unit(disk.device, disk.path, "ext4"), True) for disk in disks),
        (BOOT_UNIT, boot_unit([RELEASE_DISK.path, *(disk.path for disk in disks)]), True),
        *((need_name(need), need_unit(need), False) for need in needs),
        *((unit_name(service.name), service_unit(service), False) for service in config.services),
    ]
    document = {
        "ignition": {"version": VERSION},
        "storage": {
            "filesystems": [_filesystem(disk) for disk in disks],
            "files": [
                _file("/etc/hostname", f"{identity.name}\n", 0o644),
                _file("/etc/systemd/network/10-machine.network", _network(addresses), 0o644),
                _file(f"{FOLDER}/machine.json", render_document(identity, config), 0o600),
            ],
        },
        "systemd": {
            "units": [{"name": name, "contents": text, "enabled": enabled} for name, text, enabled in units]
        },
    }
    return json.dumps(document, indent=1)


def _filesystem(disk: Disk) -> dict[str, Any]:
    """A disk that is kept is only made a file system of when it has none (Ignition: reuse semantics)."""
    return {
        "device": disk.device,
        "format": "ext4",
        "label": disk.serial,
        "wipeFilesystem": not disk.keep,
        "options": ["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"],
    }


def _file(path: str, content: str, mode: int) -> dict[str, Any]:
    encoded = base64.b64encode(content.encode()).decode()
    return {"path": path, "mode": mode, "overwrite": True, "contents": {"source": f"data:;base64,{encoded}"}}


def _network(addresses: Addresses) -> str:
    """A fixed address needs nobody to answer, so that a machine comes up by itself (systemd.network(5))."""
    return (
        "[Match]\nDriver=virtio_net\n\n"
        f"[Link]\nMTUBytes={addresses.mtu}\n\n"
        f"[Network]\nAddress={addresses.address}/{addresses.prefix}\nGateway={addresses.gateway}\n"
        f"{''.join(f'DNS={server}{chr(10)}' for server in addresses.nameservers)}"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )
