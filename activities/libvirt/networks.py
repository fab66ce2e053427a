"""A hypervisor's part of clusters' layer-2 networks: bridge, firewall, and VXLAN to other hypervisors.

What was asked for is written down, so that a hypervisor that starts again joins its networks by itself.
"""

import contextlib
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from pathlib import Path

import structlog
from filelock import FileLock
from libvirt import libvirtError
from pydantic import Field, ValidationError

from activities.libvirt.firewall import ensure_firewall
from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.overlay import Overlay, ensure_overlay, overlays, remove_overlay
from activities.libvirt.places import Places
from activities.libvirt.xml import NetworkSpec, network_xml
from contracts.context import ClusterContext, Host
from contracts.errors import StepError
from contracts.model import WireModel
from nodes.machine.store import private_folder, write_file

LOCK_SECONDS = 120.0
log = structlog.get_logger(__name__)


class NetworkDocument(WireModel):
    """A cluster's network here. ``host`` is this hypervisor's host number in it; ``local`` and ``peers`` are
    addresses of this hypervisor and of the cluster's others, empty for the only one of a site.
    """

    cluster_id: str
    network: str
    host: int
    mtu: int
    vni: int
    local: str = ""
    peers: list[str] = Field(default_factory=list)


class Networks:
    """Networks of clusters on one hypervisor. ``management`` are networks (CIDRs) that machines may not reach."""

    def __init__(self, places: Places, hypervisor: Hypervisor, management: Sequence[str]) -> None:
        """Make nothing yet."""
        self._places = places
        self._hypervisor = hypervisor
        self._management = management

    def ensure(self, cluster: ClusterContext, name: str) -> None:
        """Make what the hypervisor called ``name`` has of a cluster's network.

        Raises ``StepError``, or libvirt's error.
        """
        document = network_document(cluster, name)
        path = self._path(cluster.cluster_id)
        private_folder(path.parent)
        with self._alone():
            write_file(path, document.model_dump_json().encode())
            self._make(document)

    def remove(self, cluster_id: str) -> None:
        """Remove a cluster's network, if it is there."""
        with self._alone():
            remove_overlay(self._places.overlay(cluster_id))
            self._hypervisor.remove_network(self._places.network(cluster_id))
            self._path(cluster_id).unlink(missing_ok=True)
            self._ensure_firewall()

    def restore(self) -> None:
        """Make all networks that were asked for, as after a reboot; one that fails is told, and hides no other."""
        for document in self._documents():
            try:
                with self._alone():
                    self._make(document)
            except (StepError, libvirtError) as error:
                log.warning("network not restored", cluster_id=document.cluster_id, reason=str(error))

    def found(self) -> list[tuple[str, str, str]]:
        """Return kind, cluster id and name of each bridge and VXLAN device that exists."""
        known = {self._places.overlay(document.cluster_id): document.cluster_id for document in self._documents()}
        bridges = [("bridge", owner, self._places.bridge(owner)) for owner in self._hypervisor.networks()]
        return bridges + [("overlay", known.get(device, ""), device) for device in overlays()]

    def _make(self, document: NetworkDocument) -> None:
        self._ensure_firewall()
        name, bridge = self._places.network(document.cluster_id), self._places.bridge(document.cluster_id)
        network = IPv4Network(document.network)
        spec = NetworkSpec(name, bridge, document.cluster_id, network, document.host, document.mtu)
        self._hypervisor.ensure_network(name, network_xml(spec))
        device = self._places.overlay(document.cluster_id)
        if document.peers:
            ensure_overlay(Overlay(device, bridge, document.vni, document.local, tuple(document.peers)))
        else:
            remove_overlay(device)  # the firewall lets VXLAN in from anywhere where there are no peers

    def _ensure_firewall(self) -> None:
        peers = sorted({peer for document in self._documents() for peer in document.peers})
        ensure_firewall(self._management, peers)

    def _documents(self) -> Iterator[NetworkDocument]:
        for path in sorted(self._places.networks.glob("*.json")):
            with contextlib.suppress(FileNotFoundError, ValidationError):  # removed meanwhile, or half written
                yield NetworkDocument.model_validate_json(path.read_bytes())

    def _path(self, cluster_id: str) -> Path:
        return self._places.network_document(cluster_id)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one caller at a time change networks: they share a firewall."""
        path = self._places.networks_lock
        private_folder(path.parent)
        with FileLock(path, timeout=LOCK_SECONDS):
            yield


def network_document(cluster: ClusterContext, name: str) -> NetworkDocument:
    """Return what a hypervisor's part of a cluster's network is to be; of the only one when none is placed."""
    hosts = cluster.placements.hosts
    own = hosts.get(name, Host())
    peers = [host.address for other, host in sorted(hosts.items()) if other != name and not host.dead]
    return NetworkDocument(
        cluster_id=cluster.cluster_id,
        network=cluster.machine_network,
        host=own.host,
        mtu=cluster.placements.mtu,
        vni=cluster.vni,
        local=own.address,
        peers=peers if own.address else [],
    )
