"""Which machine network a cluster tries to claim, and when a released one may be claimed again."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

QUARANTINE = timedelta(minutes=10)
"""How long nobody gets a released network: longer than any activity that may still hold an address of it."""

_THIRDS = [third for third in range(256) if third != 53]


@dataclass(frozen=True)
class Range:
    """Machine networks: the /24s whose first octet is ``first`` and whose second is one of ``seconds``.

    A third octet of 53 is left out, as people put name servers there on loopback.
    """

    first: int
    seconds: range

    def __len__(self) -> int:
        """Return how many machine networks there are."""
        return len(self.seconds) * len(_THIRDS)

    def __getitem__(self, index: int) -> str:
        """Return machine network number ``index``, from 0."""
        second, third = divmod(index, len(_THIRDS))
        return f"{self.first}.{self.seconds[second]}.{_THIRDS[third]}.0/24"


LOOPBACK = Range(127, range(64, 128))
"""127.64.0.0/10: loopback (RFC 1122, section 3.2.1.3) needs no root and no routing."""

PRIVATE = Range(10, range(32, 64))
"""10.32.0.0/11, private (RFC 1918), beside the usual ranges of pods and services."""


def machine_networks(provider: str) -> Range:
    """Return the networks that machines of a provider may have."""
    return PRIVATE if provider == "libvirt" else LOOPBACK


def candidates(cluster_id: str, provider: str) -> Iterator[str]:
    """Yield every machine network of a provider once, in the order in which the cluster tries them.

    The start is a hash of the id: clusters made at the same time, or by two stacks on one machine, seldom
    try the same network, and a second attempt tries the same ones as the first.
    """
    known = machine_networks(provider)
    start = int.from_bytes(hashlib.sha256(cluster_id.encode()).digest()[:8])
    return (known[(start + step) % len(known)] for step in range(len(known)))


def next_candidate(cluster_id: str, provider: str, tried: Collection[str]) -> str | None:
    """Return the first candidate that was not tried, None when all were."""
    return next((network for network in candidates(cluster_id, provider) if network not in tried), None)


def is_claimable(released_at: datetime | None, now: datetime) -> bool:
    """Say whether a recorded network may be claimed anew: it was released, and its quarantine is over."""
    return released_at is not None and now >= released_at + QUARANTINE
