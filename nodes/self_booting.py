"""What a machine is told beside, whose operating system isn't our node image but boots by itself.

Flatcar and Fedora CoreOS are meant. All are told the same: each takes what it has a use for. The node image is
told nothing of it, and has it built in.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

from nodes.model import File, Layout
from nodes.networking import Addresses, interface_name, network_manager
from nodes.systemd import agent_unit

TOOLS = "/opt/debian/bin"
"""Programs of the node image, on the disk of the release, for operating systems that lack them."""

RELEASE_PATHS = ("/opt", "/var/opt")
"""Where the disk of the release may be: on Fedora CoreOS the first is a link to the second."""

AGENT_UNIT = "qemu-guest-agent.service"
"""Also the name of an operating system's own, which gives way: only one can have the channel."""

MASKED = (
    # Nobody logs in.
    "getty@.service",
    "serial-getty@.service",
    "sshd.service",
    "sshd.socket",
    # Nothing changes the operating system, or boots it anew, but another release.
    "zincati.service",
    "update-engine.service",
    "locksmithd.service",
    # Containers are the kubelet's alone.
    "docker.service",
    "docker.socket",
)

_BUILT_IN = Path(__file__).parent.parent / "deploy" / "node_image" / "files"
_SETTINGS = ("etc/sysctl.d/90-kubernetes.conf", "etc/modules-load.d/kubernetes.conf")

_NO_IPV6 = "net.ipv6.conf.all.disable_ipv6 = 1\nnet.ipv6.conf.default.disable_ipv6 = 1\n"
"""What ``ipv6.disable=1`` on the kernel's command line, which is the image's own, does for the node image."""


def with_tools(layout: Layout) -> Layout:
    """Return where things are, with the programs that the operating system may lack."""
    return replace(layout, tools=TOOLS)


def system_files(addresses: Addresses) -> list[tuple[File, int]]:
    """Return files of the operating system with their modes."""
    return [
        (File("/etc/NetworkManager/system-connections/machine.nmconnection", network_manager(addresses)), 0o600),
        (File("/etc/systemd/network/10-machine.link", interface_name()), 0o644),
        (File("/etc/sysctl.d/91-no-ipv6.conf", _NO_IPV6), 0o644),
        *((File(f"/{path}", text), 0o644) for path, text in _settings().items()),
    ]


def mount_table(device: str) -> str:
    """Return what fstab(5) is to say of the disk of the release.

    A mount unit would fail where its place is a link, and can't have another place where it is none. What reads
    this (systemd-fstab-generator(8)) looks where the link leads.
    """
    return f"{device} {RELEASE_PATHS[0]} erofs ro 0 0\n"


def agent() -> str:
    """Return the unit of the guest agent."""
    return agent_unit(f"{TOOLS}/qemu-ga", RELEASE_PATHS)


@cache
def _settings() -> dict[str, str]:
    """Return what the node image has built in, by path. It is data that ships with the code."""
    return {path: (_BUILT_IN / path).read_text() for path in _SETTINGS}
