"""Which machine network a cluster tries to claim, and when a released one may be claimed again."""

import hashlib
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

QUARANTINE = timedelta(minutes=10)
"""How long nobody gets a released network: longer than any activity that may still hold an address of it."""

_SECONDS = range(64, 128)
_THIRDS = [third for third in range(256) if third != 53]


def network_at(index: int) -> str:
    """Return machine network number ``index`` (0 to ``NETWORKS`` - 1), a /24 of 127.64.0.0/10.

    Loopback (RFC 1122, section 3.2.1.3) needs no root and no routing. 127.0.0.0/16 is no part of the range,
    and a third octet of 53 is left out, as people put name servers there.
    """
    second, third = divmod(index, len(_THIRDS))
    return f"127.{_SECONDS[second]}.{_THIRDS[third]}.0/24"


NETWORKS = len(_SECONDS) * len(_THIRDS)
"""How many machine networks there are."""


def candidates(cluster_id: str) -> Iterator[str]:
    """Yield every machine network once, in the order in which the cluster tries them.

    The start is a hash of the id: clusters made at the same time, or by two stacks on one machine, seldom
    try the same network, and a second attempt tries the same ones as the first.
    """
    start = int.from_bytes(hashlib.sha256(cluster_id.encode()).digest()[:8])
    return (network_at((start + step) % NETWORKS) for step in range(NETWORKS))


def next_candidate(cluster_id: str, tried: Collection[str]) -> str | None:
    """Return the first candidate that was not tried, None when all were."""
    return next((network for network in candidates(cluster_id) if network not in tried), None)


def is_claimable(released_at: datetime | None, now: datetime) -> bool:
    """Say whether a recorded network may be claimed anew: it was released, and its quarantine is over."""
    return released_at is not None and now >= released_at + QUARANTINE
