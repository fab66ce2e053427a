"""What machines may not reach: the hypervisor they run on, and the networks it is managed by (nft(8)).

libvirt itself keeps the networks of clusters apart: it lets in only what answers. It leaves the hypervisor open.
"""

import subprocess
from collections.abc import Sequence

from api.errors import ErrorCode
from contracts.errors import StepError

BRIDGES = "g8s*"
"""Names of the bridges of clusters (``activities.libvirt.places.Places.bridge``)."""

TABLE = "giantnetes"


def ensure_firewall(management: Sequence[str]) -> None:
    """Forbid machines the hypervisor's own services and the networks ``management`` (CIDRs).

    One table in one transaction, so that it is whole or as before, however often this is called.
    Raises PROVIDER_UNAVAILABLE when the kernel or ``nft`` refuses.
    """
    command = ["nft", "--file", "-"]
    try:
        done = subprocess.run(command, input=rules(management), capture_output=True, text=True, check=False)
    except OSError as error:
        raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"nft can't be run: {error.strerror}") from error
    if done.returncode:
        raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"nft refuses the firewall: {done.stderr.strip()}")


def rules(management: Sequence[str]) -> str:
    """Return the table as nft reads it."""
    networks = f'iifname "{BRIDGES}" ip daddr {{ {", ".join(management)} }} drop' if management else ""
    return f"""table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
    chain input {{
        type filter hook input priority filter - 10;
        iifname "{BRIDGES}" ct state established,related accept
        iifname "{BRIDGES}" icmp type echo-request accept
        iifname "{BRIDGES}" drop
    }}
    chain forward {{
        type filter hook forward priority filter - 10;
        {networks}
    }}
}}
"""
