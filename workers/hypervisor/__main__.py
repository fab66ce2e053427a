"""``python -m workers.hypervisor``: the process that makes machines on the hypervisor that it runs on.

It has no login to Vault: what it carries to machines is public or sealed to them.
"""

import os
import sys

import structlog

from activities.libvirt.acceleration import Kind, chosen_kind
from activities.libvirt.checking import HypervisorActivities
from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.networks import Networks
from activities.libvirt.places import Places, searchable_folder
from activities.libvirt.provider import LibvirtProvider, Settings
from activities.machines import Patience, machine_activities
from contracts import queues
from deploy.node_image import installed_images
from planning.releases import load_releases
from workers.hypervisor.name import hypervisor_name
from workers.hypervisor.settings import from_environment
from workers.worker.running import run
from workers.worker.serving import Queue

PATIENCE: dict[Kind, Patience] = {
    "kvm": Patience(boot=180, poll=0.25, silent=60),
    "qemu": Patience(boot=540, poll=1.0, silent=240),
}
"""Emulated processors take minutes for a boot when many machines share them."""

log = structlog.get_logger("hypervisor")


def hypervisor_queues() -> list[Queue]:
    """Return the queue of this hypervisor; RuntimeError when no release's images are here."""
    kernels = [
        images["kernel"] for images in map(installed_images, load_releases().values()) if "kernel" in images
    ]
    if not kernels:
        raise RuntimeError("there is no node image: make it with `just node-image RELEASE`")
    kind = chosen_kind(os.environ.get("GIANTNETES_VIRTUALIZATION", ""), kernels[0])
    log.info("machines will be made", virtualization=kind)
    settings = from_environment(kind)
    if not settings.management:
        log.warning("machines may reach all networks: set GIANTNETES_MANAGEMENT_NETWORKS to those they may not")
    searchable_folder(settings.folder)
    _restore_networks(settings)
    provider = LibvirtProvider(settings, installed_images)
    own = HypervisorActivities(settings).activities()
    queue = queues.hypervisor(os.environ.get("GIANTNETES_SITE", "default"), hypervisor_name())
    return [Queue(queue, [*machine_activities(provider, PATIENCE[kind]), *own])]


def _restore_networks(settings: Settings) -> None:
    """Join the networks of clusters again after a reboot, before anybody asks: Temporal may be down."""
    places = Places(settings.folder)
    Networks(places, Hypervisor(settings.uri, places.volumes), settings.management).restore()


if __name__ == "__main__":
    sys.exit(run(lambda _: hypervisor_queues(), os.environ.get("GIANTNETES_METRICS_ADDRESS")))
