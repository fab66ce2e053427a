"""Bad days on demand: faults that wait in the world for the next calls of an operation.

Operations are the methods of ``contracts.machines.Provider`` and the activities on a guest cluster, by name.
"""

import json
import sqlite3
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from activities.simulated.world import World
from api.errors import ErrorCode
from contracts.errors import StepError

T = TypeVar("T")


class FaultKind(StrEnum):
    """What goes wrong."""

    FAIL = "fail"
    THROTTLE = "throttle"
    TIME_OUT = "time-out"
    ANSWER_LATE = "answer-late"
    ANSWER_STALE = "answer-stale"


class Faults:
    """The knobs, for tests; they work on a running worker through the file of its world."""

    def __init__(self, path: Path) -> None:
        """Turn knobs of the world at ``path``."""
        self._world = World(path)

    def fail(self, operation: str, times: int = 1) -> None:
        """Let the next calls fail, without effect."""
        self._add(operation, FaultKind.FAIL, times, 0)

    def throttle(self, operation: str, times: int = 1) -> None:
        """Let the next calls be refused as too many, without effect."""
        self._add(operation, FaultKind.THROTTLE, times, 0)

    def time_out(self, operation: str, times: int = 1, seconds: float = 0.1) -> None:
        """Let the next calls hang for ``seconds`` and then fail, without effect."""
        self._add(operation, FaultKind.TIME_OUT, times, seconds)

    def answer_late(self, operation: str, times: int = 1, seconds: float = 0.0) -> None:
        """Let the next calls succeed, but fail for the caller after ``seconds``: the answer got lost."""
        self._add(operation, FaultKind.ANSWER_LATE, times, seconds)

    def answer_stale(self, operation: str, times: int = 1) -> None:
        """Let the next calls of a reading operation give the answer of the call before, None for the first."""
        self._add(operation, FaultKind.ANSWER_STALE, times, 0)

    def boot_seconds(self, seconds: float) -> None:
        """Let machines that are switched on from now on take this long to boot."""
        with self._world.transaction() as database:
            database.execute("INSERT OR REPLACE INTO settings VALUES ('boot_seconds', ?)", (seconds,))

    def clear(self) -> None:
        """Forget all faults that haven't come true."""
        with self._world.transaction() as database:
            database.execute("DELETE FROM faults")

    def _add(self, operation: str, kind: FaultKind, times: int, seconds: float) -> None:
        with self._world.transaction() as database:
            database.executemany(
                "INSERT INTO faults (operation, kind, seconds) VALUES (?, ?, ?)",
                [(operation, kind, seconds)] * times,
            )


def perform(world: World, operation: str, effect: Callable[[sqlite3.Connection], T]) -> T:
    """Run ``effect`` in a transaction, with the fault that waits for ``operation``, if any."""
    with world.transaction() as database:
        kind, seconds = _take(database, operation)
        if kind in {None, FaultKind.ANSWER_LATE}:
            result = effect(database)
            if kind is None:
                return result
    time.sleep(seconds)
    raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"{operation}: simulated fault {kind}")


def read(world: World, operation: str, subject: str, look: Callable[[sqlite3.Connection], Any]) -> Any:
    """Return what ``look`` finds, as JSON values: or, as a fault, what it found the time before."""

    def remembering(database: sqlite3.Connection) -> Any:
        found = look(database)
        before = database.execute(
            "SELECT answer FROM answers WHERE operation = ? AND subject = ?", (operation, subject)
        ).fetchone()
        database.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (operation, subject, json.dumps(found))
        )
        if _is_stale(database, operation):
            return json.loads(before["answer"]) if before else None
        return found

    return perform(world, operation, remembering)


def _take(database: sqlite3.Connection, operation: str) -> tuple[FaultKind | None, float]:
    """Return the fault to come true now; stale answers are told apart by those who answer."""
    fault = database.execute(
        "SELECT id, kind, seconds FROM faults WHERE operation = ? AND kind != ? ORDER BY id LIMIT 1",
        (operation, FaultKind.ANSWER_STALE),
    ).fetchone()
    if fault is None:
        return None, 0.0
    database.execute("DELETE FROM faults WHERE id = ?", (fault["id"],))
    return FaultKind(fault["kind"]), fault["seconds"]


def _is_stale(database: sqlite3.Connection, operation: str) -> bool:
    found = "SELECT id FROM faults WHERE operation = ? AND kind = ? ORDER BY id LIMIT 1"
    taken = database.execute(
        f"DELETE FROM faults WHERE id = ({found})",  # noqa: S608 - no value in the text
        (operation, FaultKind.ANSWER_STALE),
    )
    return taken.rowcount > 0
