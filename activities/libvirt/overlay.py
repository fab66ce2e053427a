"""A cluster's layer-2 network between hypervisors: VXLAN (RFC 7348) devices in its bridges.

Set up as ip-link(8) and bridge(8) say. Where a MAC address is gets learned from what arrives, as in any bridge;
what has no known place is sent to each peer. VXLAN neither encrypts nor knows who sends:
``activities.libvirt.firewall`` lets in only what comes from peers.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from activities.libvirt.commands import run
from api.errors import ErrorCode
from contracts.errors import StepError

DEVICES = "g8sx"
"""Names of the devices begin so; those of bridges have hexadecimal digits there, so that none is taken for one."""

PORT = 4789
"""VXLAN's UDP port, which IANA assigned; the kernel's own default is an older one."""

OVERHEAD = 50
"""Bytes around a machine's packet: its Ethernet header (14), and headers of VXLAN (8), UDP (8) and IPv4 (20)."""

LARGEST_MTU = 1500
"""Of machines, however much the underlay takes: what they send to the world leaves through plain Ethernet."""

_ANY = "00:00:00:00:00:00"
"""Stands in the forwarding table for all MAC addresses of unknown place, broadcast and multicast."""


@dataclass(frozen=True)
class Overlay:
    """A cluster's network as one hypervisor has it.

    ``device`` is the VXLAN device (at most 15 characters, begins with ``DEVICES``), ``bridge`` the cluster's,
    which exists. ``vni`` (1 to 2^24-1) is the cluster's on all hypervisors. ``local`` and ``peers`` are IPv4
    addresses in the underlay, of this hypervisor and of the others.
    """

    device: str
    bridge: str
    vni: int
    local: str
    peers: tuple[str, ...]


def ensure_overlay(overlay: Overlay) -> None:
    """Join a cluster's bridge with those on the peers, and part it from all other hypervisors.

    Whatever differs is mended, and what is right stays untouched, so that packets pass meanwhile. Raises
    PROVIDER_UNAVAILABLE when the kernel refuses, for one because ``local`` is no address of this hypervisor, and
    when another device has the cluster's ``vni``.
    """
    mtu = str(overlay_mtu(overlay.local))
    _ensure_device(overlay)
    run("ip", "link", "set", "dev", overlay.device, "mtu", mtu, "master", overlay.bridge, "up")
    if changes := list(_changes(overlay)):
        run("bridge", "-batch", "-", text="\n".join(changes))


def remove_overlay(device: str) -> None:
    """Part a cluster's bridge from those on other hypervisors, if it is joined with them."""
    if device in _devices():
        run("ip", "link", "delete", "dev", device)


def overlays() -> list[str]:
    """Return the names of our devices."""
    return [device for device in _devices() if device.startswith(DEVICES)]


def overlay_mtu(local: str) -> int:
    """Return how many bytes a packet of a machine may have when ``local`` is the hypervisor's underlay address.

    Raises PROVIDER_UNAVAILABLE when no device has that address.
    """
    links = _json("ip", "-json", "address", "show", "to", local)
    if not links:
        raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"no device of this hypervisor has the address {local}")
    return min(int(links[0]["mtu"]) - OVERHEAD, LARGEST_MTU)


def _ensure_device(overlay: Overlay) -> None:
    """Make the device; the kernel changes neither VNI, address nor port of one that exists."""
    wanted = {"id": overlay.vni, "local": overlay.local, "port": PORT}
    device = overlay.device
    if found := _devices().get(device):
        if wanted.items() <= found["linkinfo"]["info_data"].items():
            return
        remove_overlay(device)
    options = ("id", str(overlay.vni), "local", overlay.local, "dstport", str(PORT), "learning")
    run("ip", "link", "add", "name", device, "type", "vxlan", *options)


def _changes(overlay: Overlay) -> Iterator[str]:
    """Give the commands of bridge(8) after which the device sends to its peers and to nobody else.

    What was learned of a hypervisor that is no peer any more goes as well. That comes last: such an entry may
    expire by itself meanwhile, then its removal is refused, and the next call finds nothing left to do.
    """
    known = [
        (entry["mac"], entry["dst"])
        for entry in _json("bridge", "-json", "fdb", "show", "dev", overlay.device)
        if "dst" in entry
    ]
    for peer in overlay.peers:
        if (_ANY, peer) not in known:
            yield f"fdb append {_ANY} dev {overlay.device} dst {peer} self permanent"
    for mac, address in sorted(known):  # _ANY sorts first
        if address not in overlay.peers:
            yield f"fdb delete {mac} dev {overlay.device} dst {address} self"


def _devices() -> dict[str, dict[str, Any]]:
    """Return all VXLAN devices by name."""
    return {link["ifname"]: link for link in _json("ip", "-json", "-details", "link", "show", "type", "vxlan")}


def _json(*command: str) -> list[dict[str, Any]]:
    """Return what iproute2 lists; it leaves empty objects for what it was told to leave out."""
    return [found for found in json.loads(run(*command)) if found]
