"""Knowing the resources of one kind: listed once, watched from there, listed again when a watch is lost."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import structlog
from kubernetes.aio.client.exceptions import ApiException

from workers.bridge.kit.kube import FAILURES, GONE, Json, Kube
from workers.bridge.kit.queue import LONGEST_S, backoff

WATCH_S = 240
"""How long a watch is asked for, at least; up to a quarter more, so that not all end at once."""

SILENCE_S = 90.0
"""The API sends a bookmark each minute. A watch without one is dead, whatever its connection says."""

Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""

log = structlog.get_logger(__name__)


class Reflector:
    """The resources of a collection as last heard of; ``changed`` is called with each key that differs."""

    def __init__(
        self, kube: Kube, path: str, changed: Callable[[Key], object], silence: float = SILENCE_S
    ) -> None:
        self._kube = kube
        self._path = path
        self._changed = changed
        self._silence = silence
        self._version = ""
        self._failures = 0
        self.objects: dict[Key, Json] = {}
        self.listed = asyncio.Event()
        self._heard_at = time.monotonic()

    @property
    def lives(self) -> bool:
        """Whether anything was heard or tried lately: a failed try counts, a task that hangs doesn't."""
        return time.monotonic() < self._heard_at + 2 * (self._silence + LONGEST_S)

    async def run(self) -> None:
        """Keep ``objects`` true until cancelled. What goes wrong is tried again, ever more rarely."""
        while True:
            self._heard_at = time.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except FAILURES as error:
                self._failures += 1
                if isinstance(error, TimeoutError) or _status(error) == GONE:
                    self._version = ""
                wait = backoff(self._failures)
                log.warning("watch lost", path=self._path, reason=_reason(error), again_in_s=round(wait, 1))
                await asyncio.sleep(wait)

    async def _list(self) -> None:
        items, version = await self._kube.listed(self._path)
        before, self.objects = self.objects, {_key(item): item for item in items}
        for key in before.keys() | self.objects.keys():
            if before.get(key) != self.objects.get(key):
                self._changed(key)
        self._version = version
        self.listed.set()

    async def _watch(self) -> None:
        seconds = int(WATCH_S * random.uniform(1, 1.25))  # noqa: S311 - spreading, no secret
        async for event in self._kube.watch(self._path, self._version, seconds, self._silence):
            self._failures, self._heard_at = 0, time.monotonic()
            changed = event["object"]
            self._version = changed["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            key = _key(changed)
            if event["type"] == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = changed
            self._changed(key)


def _key(item: Json) -> Key:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _status(error: BaseException) -> Any:
    return error.status if isinstance(error, ApiException) else None


def _reason(error: BaseException) -> str:
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return str(error) or type(error).__name__
