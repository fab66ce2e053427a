"""When clients were first seen with new certificates, by the audit logs of API servers."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from contracts.workflows import OperationResult

EVENT = re.compile(rb'X509SHA256=([0-9a-f]{64}).*?"requestReceivedTimestamp":"([^"]+)"')


@dataclass
class _Client:
    """One client's certificates in the order in which they were issued, and when each was seen first."""

    issued: list[tuple[str, datetime]] = field(default_factory=list)
    seen: dict[str, datetime] = field(default_factory=dict)


class Credentials:
    """Reads on in ``logs`` with each look."""

    def __init__(self, logs: list[Path]) -> None:
        self._logs = dict.fromkeys(logs, 0)
        self._clients: dict[tuple[str, str], _Client] = {}
        self._owners: dict[str, _Client] = {}

    def issued(self, result: OperationResult) -> None:
        """Note what one rotation gave to clients of the API."""
        for machine, certificates in result.issued.items():
            for name, issued in certificates.items():
                if issued.audited:
                    client = self._clients.setdefault((machine, name), _Client())
                    client.issued.append((issued.credential, issued.issued_at))
                    self._owners[issued.credential] = client

    def look(self) -> None:
        """Read what the logs tell since the last look."""
        for log, position in self._logs.items():
            with log.open("rb") as file:
                start = position if log.stat().st_size >= position else 0  # begun anew
                file.seek(start)
                text = file.read()
                whole = text.rfind(b"\n") + 1
                self._logs[log] = start + whole
            for line in text[:whole].splitlines():
                if found := EVENT.search(line):
                    self._note(found[1].decode(), datetime.fromisoformat(found[2].decode()))

    def _note(self, credential: str, at: datetime) -> None:
        if client := self._owners.get(credential):
            client.seen.setdefault(credential, at)

    @property
    def waiting(self) -> list[str]:
        """Clients that have not been seen with their last certificate."""
        return [
            f"{name} of {machine}"
            for (machine, name), client in self._clients.items()
            if client.issued[-1][0] not in client.seen
        ]

    def seconds(self) -> list[float]:
        """Return how long after each certificate its client was seen with it, or with a later one."""
        found = []
        for client in self._clients.values():
            first: datetime | None = None
            for credential, issued_at in reversed(client.issued):
                seen = client.seen.get(credential)
                first = min(filter(None, (first, seen)), default=None)
                found.append((first - issued_at).total_seconds() if first else float("inf"))
        return found

    def __str__(self) -> str:
        waiting = ", ".join(self.waiting) or "none"
        return f"{len(self._clients)} clients of the API, not seen with their last: {waiting}"
