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

from activities.libvirt.firewall import load_firewall, rules
from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.overlay import Overlay, ensure_overlay, overlays, remove_overlay
from activities.libvirt.places import Places
from activities.libvirt.xml import NetworkSpec, network_xml
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.hypervisors import ClusterNetwork
from nodes.machine.store import private_folder, write_file

LOCK_SECONDS = 120.0
log = structlog.get_logger(__name__)


class Networks:
    """Networks of clusters on one hypervisor. ``management`` are networks (CIDRs) that machines may not reach."""

    def __init__(self, places: Places, hypervisor: Hypervisor, management: Sequence[str]) -> None:
        """Make nothing yet."""
        self._places = places
        self._hypervisor = hypervisor
        self._management = management

    def ensure(self, wanted: ClusterNetwork) -> None:
        """Make this hypervisor's part of a cluster's network, unless it has been told something newer.

        Raises ``StepError``, with ClusterDeleted when the cluster is gone from here, or libvirt's error.
        """
        path = self._path(wanted.cluster_id)
        private_folder(path.parent)
        with self._alone():
            # Under the lock: a deletion writes its tombstone, and then takes the network away.
            if self._places.tombstone(wanted.cluster_id).exists():
                raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {wanted.cluster_id} has been deleted")
            known = self._document(path)
            if known and known.version > wanted.version:
                wanted = known
            write_file(path, wanted.model_dump_json().encode())
            self._make(wanted)

    def remove(self, cluster_id: str) -> None:
        """Remove a cluster's network, if it is there."""
        with self._alone():
            remove_overlay(self._places.overlay(cluster_id))
            self._hypervisor.remove_network(self._places.network(cluster_id))
            self._path(cluster_id).unlink(missing_ok=True)
            self._ensure_firewall()

    def restore(self, wanted: Sequence[ClusterNetwork] = ()) -> list[str]:
        """Make ``wanted`` networks and all that were asked for before, as after a reboot.

        Returns a sentence about each that can't be made: one that fails hides no other.
        """
        known = {document.cluster_id: document for document in self._documents()}
        known |= {network.cluster_id: network for network in wanted}
        broken = []
        for network in known.values():
            try:
                self.ensure(network)
            except (StepError, libvirtError) as error:
                if getattr(error, "code", None) is not ErrorCode.CLUSTER_DELETED:
                    log.warning("network not restored", cluster_id=network.cluster_id, reason=str(error))
                    broken.append(f"the network of cluster {network.cluster_id} is broken: {error}")
        return broken

    def found(self) -> list[tuple[str, str, str]]:
        """Return kind, cluster id and name of each bridge and VXLAN device that exists."""
        known = {self._places.overlay(document.cluster_id): document.cluster_id for document in self._documents()}
        bridges = [("bridge", owner, self._places.bridge(owner)) for owner in self._hypervisor.networks()]
        return bridges + [("overlay", known.get(device, ""), device) for device in overlays()]

    def _make(self, document: ClusterNetwork) -> None:
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
        """Have the firewall, now and, by what is written down, before the first machine after a reboot."""
        peers = sorted({peer for document in self._documents() for peer in document.peers})
        table = rules(self._management, peers)
        load_firewall(table)  # first: libvirt's daemon doesn't start after a file that nft refuses
        write_file(self._places.firewall, table.encode())

    def _documents(self) -> Iterator[ClusterNetwork]:
        for path in sorted(self._places.networks.glob("*.json")):
            if document := self._document(path):
                yield document

    @staticmethod
    def _document(path: Path) -> ClusterNetwork | None:
        with contextlib.suppress(FileNotFoundError):
            return ClusterNetwork.model_validate_json(path.read_bytes())
        return None

    def _path(self, cluster_id: str) -> Path:
        return self._places.network_document(cluster_id)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one caller at a time change networks: they share a firewall."""
        path = self._places.networks_lock
        private_folder(path.parent)
        with FileLock(path, timeout=LOCK_SECONDS):
            yield
