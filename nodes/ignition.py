"""A machine as an Ignition configuration, without secrets (https://coreos.github.io/ignition/configuration-v3_3/)."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from contracts.machines import MachineRole
from nodes.document import Identity, render_document
from nodes.model import Layout, MachineConfig
from nodes.networking import Addresses, networkd
from nodes.self_booting import AGENT_UNIT, MASKED, RELEASE_PATHS, agent, mount_table, system_files
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


def render_ignition(
    identity: Identity,
    config: MachineConfig,
    addresses: Addresses,
    disks: list[Disk],
    *,
    self_booting: bool = False,
) -> str:
    """Return the configuration of a machine with ``disks`` beside the one of its release.

    One that is ``self_booting`` has another operating system than our node image, and is told more.
    """
    needs = dict.fromkeys(service.needs for service in config.services if service.needs)
    release_paths = RELEASE_PATHS if self_booting else (RELEASE_DISK.path,)
    units = [
        *(_agent() if self_booting else _release_mount()),
        *((mount_name(disk.path), mount_unit(disk.device, disk.path, "ext4"), True) for disk in disks),
        (BOOT_UNIT, boot_unit([*release_paths, *(disk.path for disk in disks)]), True),
        *((need_name(need), need_unit(need), False) for need in needs),
        *((unit_name(service.name), service_unit(service), False) for service in config.services),
    ]
    document = {
        "ignition": {"version": VERSION},
        "storage": {
            "filesystems": [_filesystem(disk) for disk in disks],
            "files": [
                _file("/etc/hostname", f"{identity.name}\n", 0o644),
                _file("/etc/systemd/network/10-machine.network", networkd(addresses), 0o644),
                _file(f"{FOLDER}/machine.json", render_document(identity, config), 0o600),
                *(_system(addresses) if self_booting else ()),
            ],
        },
        "systemd": {
            "units": [
                *({"name": name, "contents": text, "enabled": enabled} for name, text, enabled in units),
                *({"name": name, "mask": True} for name in MASKED if self_booting),
            ]
        },
    }
    return json.dumps(document, indent=1)


def _release_mount() -> list[tuple[str, str, bool]]:
    path = RELEASE_DISK.path
    return [(mount_name(path), mount_unit(RELEASE_DISK.device, path, "erofs", "ro"), True)]


def _agent() -> list[tuple[str, str, bool]]:
    return [(AGENT_UNIT, agent(), True)]


def _system(addresses: Addresses) -> list[dict[str, Any]]:
    """Return files of an operating system that isn't ours; to its own table of mounts, a line is added."""
    return [
        *(_file(file.path, file.content, mode) for file, mode in system_files(addresses)),
        {"path": "/etc/fstab", "append": [{"source": _data(mount_table(RELEASE_DISK.device))}]},
    ]


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
    return {"path": path, "mode": mode, "overwrite": True, "contents": {"source": _data(content)}}


def _data(content: str) -> str:
    """Return the URL that holds a content (RFC 2397)."""
    return f"data:;base64,{base64.b64encode(content.encode()).decode()}"
