"""Which client certificates the machine's API server has met, as its audit log tells.

The log names the certificate of each request by the SHA-256 of its DER (Kubernetes: "Auditing",
authentication.kubernetes.io/credential-id).
"""

import re
from pathlib import Path

from nodes.machine.machine import Machine

LOG = "audit.log"
TAIL_BYTES = 16 * 2**20
"""How far back is looked: thousands of requests, between two looks that are seconds apart."""

CREDENTIAL = re.compile(rb"X509SHA256=([0-9a-f]{64})")


def seen(machine: Machine, wanted: list[str]) -> str:
    """Return those of ``wanted`` (SHA-256, 64 hex digits) that were used of late, one a line."""
    logs = [Path(folder) / LOG for folder in machine.folders]
    found = {match.decode() for log in logs if log.exists() for match in CREDENTIAL.findall(_tail(log))}
    return "".join(f"{credential}\n" for credential in wanted if credential in found)


def _tail(log: Path) -> bytes:
    """Return the end of a log; of the one before it too when it was begun a moment ago."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        tail = file.read()
    older = sorted(log.parent.glob(f"{log.stem}-*{log.suffix}"))
    if len(tail) < TAIL_BYTES and older:
        with older[-1].open("rb") as file:
            file.seek(max(0, older[-1].stat().st_size - TAIL_BYTES + len(tail)))
            return file.read() + tail
    return tail
