"""What machines may not reach: the hypervisor they run on, and the networks it is managed by (nft(8)).

libvirt itself keeps the networks of clusters apart: it lets in only what answers. It leaves the hypervisor open.
"""

from collections.abc import Sequence

from activities.libvirt.commands import run
from activities.libvirt.overlay import PORT

BRIDGES = "g8s*"
"""Names of the bridges of clusters (``activities.libvirt.places.Places.bridge``)."""

TABLE = "giantnetes"


def rules(management: Sequence[str], peers: Sequence[str] = ()) -> str:
    """Return the table, as nft reads it, that forbids machines the hypervisors' own services and ``management``.

    ``management`` are networks (CIDRs). ``peers`` are the underlay addresses (IPv4) of all other hypervisors. Only
    they may send VXLAN packets, which would otherwise reach machines from wherever this hypervisor is reached.
    Machines may send peers nothing: it would arrive with this hypervisor's address (NAT), and a VXLAN packet so
    made in any cluster's network. Without peers nothing is said of VXLAN.
    """
    networks = f'iifname "{BRIDGES}" ip daddr {{ {", ".join(management)} }} drop' if management else ""
    others = f"{{ {', '.join(peers)} }}"
    strangers = f"udp dport {PORT} ip saddr != {others} drop" if peers else ""
    hypervisors = f'iifname "{BRIDGES}" ip daddr {others} drop' if peers else ""
    return f"""table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
    chain input {{
        type filter hook input priority filter - 10;
        iifname "{BRIDGES}" ct state established,related accept
        iifname "{BRIDGES}" icmp type echo-request accept
        iifname "{BRIDGES}" drop
        {strangers}
    }}
    chain forward {{
        type filter hook forward priority filter - 10;
        iifname "{BRIDGES}" udp dport {PORT} drop
        {networks}
        {hypervisors}
    }}
}}
"""


def load_firewall(table: str) -> None:
    """Have the kernel take ``rules`` instead of those before, in one transaction: all of them, or none.

    Raises ``StepError`` with PROVIDER_UNAVAILABLE when the kernel or ``nft`` refuses.
    """
    run("nft", "--file", "-", text=table)
