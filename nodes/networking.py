"""A machine's network, as the operating systems that machines have are told of it.

A fixed address needs nobody to answer, so that a machine comes up by itself.
"""

from dataclasses import dataclass

from nodes.v1.endpoint import INTERFACE


@dataclass(frozen=True)
class Addresses:
    """A machine's own address with the length of its prefix, its way out, and who it asks for names."""

    address: str
    prefix: int
    gateway: str
    mtu: int
    nameservers: tuple[str, ...]


def networkd(addresses: Addresses) -> str:
    """Return what systemd-networkd reads (systemd.network(5))."""
    return (
        "[Match]\nDriver=virtio_net\n\n"
        f"[Link]\nMTUBytes={addresses.mtu}\n\n"
        f"[Network]\nAddress={addresses.address}/{addresses.prefix}\nGateway={addresses.gateway}\n"
        f"{''.join(f'DNS={server}{chr(10)}' for server in addresses.nameservers)}"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )


def network_manager(addresses: Addresses) -> str:
    """Return what NetworkManager reads (nm-settings-keyfile(5)); it takes no file that others may read."""
    return (
        "[connection]\nid=machine\ntype=ethernet\n\n"
        "[match]\ndriver=virtio_net;\n\n"
        f"[ethernet]\nmtu={addresses.mtu}\n\n"
        f"[ipv4]\nmethod=manual\naddress1={addresses.address}/{addresses.prefix},{addresses.gateway}\n"
        f"dns={''.join(f'{server};' for server in addresses.nameservers)}\n\n"
        "[ipv6]\nmethod=disabled\n"
    )


def interface_name() -> str:
    """Return what has udev call a machine's one interface as our own kernel does (systemd.link(5))."""
    return f"[Match]\nDriver=virtio_net\n\n[Link]\nName={INTERFACE}\n"
