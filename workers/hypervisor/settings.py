"""How a hypervisor is used, as the environment says."""

import os
from pathlib import Path

from activities.libvirt.acceleration import Kind
from activities.libvirt.provider import Settings


def from_environment(kind: Kind) -> Settings:
    """Return the settings of this hypervisor, whose machines are of a virtualisation type."""
    return Settings(
        folder=Path(os.environ.get("GIANTNETES_HYPERVISOR", "/var/lib/giantnetes-hypervisor")),
        uri=os.environ.get("GIANTNETES_LIBVIRT_URI", "qemu:///system"),
        kind=kind,
        nameservers=tuple(os.environ.get("GIANTNETES_NAMESERVERS", "").split()),
        management=tuple(os.environ.get("GIANTNETES_MANAGEMENT_NETWORKS", "").split()),
        address=os.environ.get("GIANTNETES_HYPERVISOR_ADDRESS", ""),
    )
