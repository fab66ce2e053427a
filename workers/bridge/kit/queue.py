"""A work queue of keys, as client-go's: a key waits once however often it is added, and one works on it at a time.

A key that is added while it is worked on is given out again afterwards. One that fails waits twice as long each
time, from ``FIRST_S`` to ``LONGEST_S``, spread by a third so that many that failed together don't come back so.
"""

import asyncio
import random
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

FIRST_S = 0.2
LONGEST_S = 60.0

Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """Keys that want work. For one event loop."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._wanted: set[Key] = set()
        self._taken: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys wait for a worker."""
        return len(self._ready)

    def add(self, key: Key) -> None:
        """Have a key worked on, as soon as nobody else does."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._wanted:
            return
        self._wanted.add(key)
        if key not in self._taken:
            self._give(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Have a key worked on later, unless it is sooner for another reason."""
        loop = asyncio.get_running_loop()
        due, timer = loop.time() + seconds, self._timers.get(key)
        if key in self._wanted or (timer and timer.when() <= due):
            return
        if timer:
            timer.cancel()
        self._timers[key] = loop.call_at(due, self.add, key)

    async def take(self) -> Key:
        """Wait for a key and take it; ``done`` has to follow."""
        while not self._ready:
            self._changed.clear()
            await self._changed.wait()
        key = self._ready.popleft()
        self._wanted.discard(key)
        self._taken.add(key)
        return key

    def done(self, key: Key, *, failed: bool = False, again_after: float | None = None) -> None:
        """Give a key back: it failed and is tried again, or wants another look after some seconds, or rests."""
        self._taken.discard(key)
        if failed:
            self._failures[key] = self._failures.get(key, 0) + 1
            again_after = backoff(self._failures[key])
        else:
            self._failures.pop(key, None)
        if key in self._wanted and not failed:
            self._give(key)
            return
        if failed:
            # What came meanwhile waits too: a key that fails at once would be tried without end otherwise.
            self._wanted.discard(key)
        if again_after is not None:
            self.add_after(key, again_after)

    def _give(self, key: Key) -> None:
        self._ready.append(key)
        self._changed.set()


def backoff(failures: int) -> float:
    """Return how many seconds what has failed so often in a row waits."""
    longest: float = min(FIRST_S * 2 ** min(failures - 1, 16), LONGEST_S)
    return longest * random.uniform(2 / 3, 1)  # noqa: S311 - spreading, no secret
