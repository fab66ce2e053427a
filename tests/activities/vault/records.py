"""A KV store in memory with check-and-set, which loses requests and answers where it is told to."""

from collections.abc import Callable, Mapping
from typing import Any

from activities.vault.client import Record
from activities.vault.registry import Records


class LostError(Exception):
    """The worker died here."""


class MemoryRecords:
    """What ``VaultClient`` does with records, in memory."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.held: dict[str, Record] = {}

    def read(self, path: str) -> Record | None:
        """Return the newest version."""
        return self.held.get(path)

    def write(self, path: str, data: Mapping[str, Any], version: int) -> bool:
        """Write when the newest version is ``version``."""
        current = self.held.get(path)
        if (current.version if current else 0) != version:
            return False
        self.held[path] = Record(dict(data), version + 1)
        return True

    def keys(self, folder: str) -> list[str]:
        """Return the names of the records in a folder."""
        return [path.rpartition("/")[2] for path in self.held if path.rpartition("/")[0] == folder]


class Interrupted:
    """Calls ``interrupt`` at request number ``at`` (from 1), before it is made, or after it when ``late``."""

    def __init__(self, records: Records, at: int, interrupt: Callable[[], None], *, late: bool = False) -> None:
        """Wrap a store."""
        self._records = records
        self._left = at
        self._interrupt = interrupt
        self._late = late

    def read(self, path: str) -> Record | None:
        """Read, with the interruption."""
        self._before()
        record = self._records.read(path)
        self._after()
        return record

    def write(self, path: str, data: Mapping[str, Any], version: int) -> bool:
        """Write, with the interruption."""
        self._before()
        written = self._records.write(path, data, version)
        self._after()
        return written

    def _before(self) -> None:
        self._left -= 1
        if self._left == 0 and not self._late:
            self._interrupt()

    def _after(self) -> None:
        if self._left == 0 and self._late:
            self._interrupt()


def die() -> None:
    """Be a worker that dies."""
    raise LostError
