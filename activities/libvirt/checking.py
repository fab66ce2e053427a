"""What only a hypervisor's worker can tell of it, and what it is asked beside machines."""

import shutil
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from temporalio import activity

from activities.libvirt.errors import step_errors
from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.networks import Networks
from activities.libvirt.overlay import LARGEST_MTU, overlay_mtu
from activities.libvirt.places import Places
from activities.libvirt.provider import LibvirtProvider, Settings
from api.errors import ErrorCode
from contracts import activities as names
from contracts.errors import StepError
from contracts.hypervisors import CheckRequest, HypervisorFacts, NetworkRequest
from nodes.machine.store import private_folder, write_file
from planning.placement import network_on

PROGRAMS = ("nft", "ip", "bridge", "dnsmasq")
"""Nothing runs the last one, but without it libvirt's daemon dies whenever it is started anew where there are
networks (libvirt 9.0: networkUpdateState)."""


class HypervisorActivities:
    """What a ``Hypervisor`` workflow, and a cluster's network, ask of a hypervisor."""

    def __init__(self, settings: Settings) -> None:
        """Make nothing yet."""
        self._settings = settings
        self._places = Places(settings.folder)
        self._hypervisor = Hypervisor(settings.uri, self._places.volumes)
        self._networks = Networks(self._places, self._hypervisor, settings.management)

    def activities(self) -> list[Callable[..., Any]]:
        """Return the activities for the hypervisor's queue."""
        return [self.check, self.ensure_network]

    @activity.defn(name=names.CHECK_HYPERVISOR)
    def check(self, request: CheckRequest) -> HypervisorFacts:
        """Return what the hypervisor has and what is on it, having joined the networks that it is to be in.

        Raises ``StepError`` with ProviderUnavailable when libvirt or a program that is needed is missing, or when
        no device has the address that other hypervisors are to reach it at.
        """
        with step_errors(f"checking hypervisor {request.name}"):
            if missing := [program for program in PROGRAMS if not shutil.which(program)]:
                raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"{request.name} lacks {', '.join(missing)}")
            address = self._settings.address
            broken = self._networks.restore(request.networks)
            left = LibvirtProvider(self._settings, lambda _release: {}).list_left()
            return HypervisorFacts(
                host_id=self._host_id(),
                kind=self._settings.kind,
                address=address,
                mtu=overlay_mtu(address) if address else LARGEST_MTU,
                capacity=self._hypervisor.capacity(),
                clusters=sorted({item.cluster_id or item.name for item in left}),
                broken=broken,
            )

    @activity.defn(name=names.ENSURE_NETWORK)
    def ensure_network(self, request: NetworkRequest) -> None:
        """Join the hypervisor to a cluster's network, and let it know the cluster's other hypervisors."""
        cluster = request.cluster
        with step_errors(f"making the network of cluster {cluster.cluster_id}"):
            self._networks.ensure(
                network_on(cluster.cluster_id, cluster.machine_network, cluster.placements, request.hypervisor)
            )

    def _host_id(self) -> str:
        """Return an id that is made with the folder: a hypervisor that lost its volumes is another one."""
        path = self._places.folder / "host-id"
        if not path.exists():
            private_folder(path.parent)
            write_file(path, str(uuid4()).encode())
        return path.read_text()
