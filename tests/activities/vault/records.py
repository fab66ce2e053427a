"""A KV store in memory with check-and-set, which loses requests and answers where it is told to."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeVar

from activities.vault.client import Record
from activities.vault.records import Folders

Answer = TypeVar("Answer")


class LostError(Exception):
    """The worker died here."""


class MemoryRecords:
    """What ``VaultClient`` does with records, in memory."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.held: dict[str, Record] = {}
        self._lock = Lock()

    def read(self, path: str) -> Record | None:
        """Return the newest version."""
        return self.held.get(path)

    def write(self, path: str, data: Mapping[str, Any], version: int) -> bool:
        """Write when the newest version is ``version``."""
        with self._lock:
            current = self.held.get(path)
            if (current.version if current else 0) != version:
                return False
            self.held[path] = Record(dict(data), version + 1)
            return True

    def keys(self, folder: str) -> list[str]:
        """Return the names in a folder; those of folders end with a slash."""
        below = [path.removeprefix(f"{folder}/") for path in list(self.held) if path.startswith(f"{folder}/")]
        return sorted({name + slash for name, slash, _ in (path.partition("/") for path in below)})


class Interrupted:
    """Calls ``interrupt`` at request number ``at`` (from 1), before it is made, or after it when ``late``."""

    def __init__(self, records: Folders, at: int, interrupt: Callable[[], object], *, late: bool = False) -> None:
        """Wrap a store."""
        self._records = records
        self._left = at
        self._lock = Lock()
        self._interrupt = interrupt
        self._late = late
        self.reached = False

    def read(self, path: str) -> Record | None:
        """Read, with the interruption."""
        return self._with_interruption(lambda: self._records.read(path))

    def write(self, path: str, data: Mapping[str, Any], version: int) -> bool:
        """Write, with the interruption."""
        return self._with_interruption(lambda: self._records.write(path, data, version))

    def keys(self, folder: str) -> list[str]:
        """List, with the interruption."""
        return self._with_interruption(lambda: self._records.keys(folder))

    def _with_interruption(self, request: Callable[[], Answer]) -> Answer:
        with self._lock:
            self._left -= 1
            now = self._left == 0
            self.reached |= now
        if now and not self._late:
            self._interrupt()
        answer = request()
        if now and self._late:
            self._interrupt()
        return answer


def die() -> None:
    """Be a worker that dies."""
    raise LostError
