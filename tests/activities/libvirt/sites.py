"""Hypervisors without libvirt: network namespaces with a bridge and one machine each, on a common underlay.

Nothing of it touches the machine's own network. Making it takes root, as the real one does.
"""

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from activities.libvirt.overlay import Overlay, ensure_overlay

BRIDGE, DEVICE, VNI, MTU = "g8s0", "g8sx0", 4711, 1450
_CLONE_NEWNET, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 0x40000000, 10, 2  # linux/sched.h, linux/in.h
_HEADERS = 28  # bytes of IPv4 and UDP
_LOST_SECONDS = 1.0
_ARP_MS = 50
"""Between questions for an address. With the kernel's 1 s, one asked in vain would delay the next packet."""

T = TypeVar("T")


def _lacking() -> str:
    """Return what keeps this machine from having namespaces with VXLAN devices, empty when nothing does."""
    if os.geteuid():
        return "network namespaces are made by root"
    if missing := [tool for tool in ("ip", "bridge", "nft", "unshare") if not shutil.which(tool)]:
        return f"there is no {', '.join(missing)}"
    device = "ip link add name probe type vxlan id 1 dstport 4789"
    done = subprocess.run(["unshare", "--net", *device.split()], capture_output=True, text=True, check=False)
    return f"the kernel has no VXLAN in a network namespace: {done.stderr.strip()}" if done.returncode else ""


_LACKING = _lacking()
with_namespaces = pytest.mark.skipif(bool(_LACKING), reason=_LACKING)


def inside(space: str, call: Callable[[], T]) -> T:
    """Call something in a network namespace, in a thread that ends with it. Sockets stay where they were made."""
    with ThreadPoolExecutor(1, initializer=_enter, initargs=(space,)) as thread:
        return thread.submit(call).result()


def _enter(space: str) -> None:
    with Path("/run/netns", space).open() as file:  # os.setns comes with Python 3.12
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def ip(space: str, commands: str) -> None:
    """Run commands of ip(8), one a line, in a network namespace."""
    subprocess.run(["ip", "-netns", space, "-batch", "-"], input=commands, text=True, check=True)


def set_ipv4(space: str, name: str, value: int) -> None:
    """Set a sysctl of a network namespace, below ``net.ipv4``."""
    inside(space, lambda: Path("/proc/sys/net/ipv4", name).write_text(str(value)))


@dataclass(frozen=True)
class Host:
    """The namespaces of a hypervisor and of its machine, and their addresses."""

    space: str
    address: str
    gateway: str
    machine: str
    machine_address: str

    def overlay(self, *peers: "Host", vni: int = VNI) -> Overlay:
        return Overlay(DEVICE, BRIDGE, vni, self.address, tuple(peer.address for peer in peers))

    def join(self, *peers: "Host", vni: int = VNI) -> None:
        inside(self.space, lambda: ensure_overlay(self.overlay(*peers, vni=vni)))

    def reaches(self, other: "Host", size: int = 64) -> bool:
        """Say whether an IP packet of ``size`` bytes that may not be fragmented gets from machine to machine."""
        return passes(self.machine, other.machine, other.machine_address, size)


def passes(sender: str, receiver: str, address: str, size: int = 64) -> bool:
    """Say whether an IP packet of ``size`` bytes that may not be fragmented gets from namespace to namespace."""
    with inside(receiver, _udp) as server, inside(sender, _udp) as client:
        server.bind((address, 0))
        server.settimeout(_LOST_SECONDS)
        client.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
        sent = secrets.token_bytes(size - _HEADERS)
        client.sendto(sent, server.getsockname())
        try:
            return server.recv(2048) == sent
        except TimeoutError:
            return False


def _udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@contextmanager
def site(count: int) -> Iterator[list[Host]]:
    """Make hypervisors that reach each other, and nothing between their bridges yet."""
    tag = f"g8s-{secrets.token_hex(3)}"
    hosts = [_host(tag, number) for number in range(1, count + 1)]
    spaces = [tag, *(space for host in hosts for space in (host.space, host.machine))]
    try:
        for space in spaces:
            subprocess.run(["ip", "netns", "add", space], check=True)
        ip(tag, "link add name underlay type bridge\nlink set dev underlay up")
        for host in hosts:
            _make(host, tag)
        yield hosts
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False)


def _host(tag: str, number: int) -> Host:
    return Host(
        space=f"{tag}-h{number}",
        address=f"192.0.2.{number}",
        gateway=f"10.32.0.{number}",
        machine=f"{tag}-m{number}",
        machine_address=f"10.32.0.{10 + number}",
    )


def _make(host: Host, underlay: str) -> None:
    commands = f"""
        link add name eth0 type veth peer name {host.space} netns {underlay}
        address add {host.address}/24 dev eth0
        link set dev eth0 up
        link add name machine0 type veth peer name eth0 netns {host.machine}
        link set dev machine0 up
    """
    ip(host.space, commands)
    ip(underlay, f"link set dev {host.space} master underlay up")
    make_bridge(host)
    set_ipv4(host.machine, "neigh/eth0/retrans_time_ms", _ARP_MS)
    commands = f"""
        address add {host.machine_address}/24 dev eth0
        link set dev eth0 mtu {MTU} up
        route add default via {host.gateway}
    """
    ip(host.machine, commands)


def make_bridge(host: Host) -> None:
    """Make a cluster's bridge with its machine, as libvirt does when its network starts."""
    commands = f"""
        link add name {BRIDGE} type bridge
        address add {host.gateway}/24 dev {BRIDGE}
        link set dev {BRIDGE} up
        link set dev machine0 master {BRIDGE}
    """
    ip(host.space, commands)
