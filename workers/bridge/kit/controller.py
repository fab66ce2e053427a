"""Bringing each resource of a kind to what it says, one by one, for as long as the process is the leader."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client.core import Metric

from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.queue import WorkQueue
from workers.bridge.kit.reflector import Key, Reflector

RESYNC_S = 600.0
WORKERS = 64
"""Resources that are worked on at the same time: most wait for a workflow's answer."""

Reconcile = Callable[[Key, Json | None], Awaitable[float | None]]
"""Brings one resource, or None when it is gone, to what it says; returns when to look again, in seconds.

It may be called twice, late, and after it was cancelled halfway: it compares, and never trusts an event.
"""

Metrics = Callable[[Mapping[Key, Json]], list[Metric]]

log = structlog.get_logger(__name__)


class Controller:
    """One kind's reflector, queue and workers."""

    def __init__(self, kube: Kube, path: str, reconcile: Reconcile, metrics: Metrics = lambda _: []) -> None:
        """Work on the resources below ``path``; ``metrics`` makes some of what they say."""
        self.queue: WorkQueue[Key] = WorkQueue()
        self.reflector = Reflector(kube, path, self.queue.add)
        self.reconciles = 0
        self.failures = 0
        self.metrics = metrics
        self._path = path
        self._reconcile = reconcile

    def objects(self) -> Mapping[Key, Json]:
        """Return the resources as last heard of."""
        return self.reflector.objects

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.reflector.run())
            tasks.create_task(self._resync())
            for _ in range(WORKERS):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        await self.reflector.listed.wait()
        while True:
            key = await self.queue.take()
            self.reconciles += 1
            try:
                again = await self._reconcile(key, self.reflector.objects.get(key))
            except Exception as error:  # noqa: BLE001 - one resource's trouble is not the others'
                self.failures += 1
                log.warning("reconcile failed", path=self._path, key="/".join(key), reason=str(error))
                self.queue.done(key, failed=True)
            else:
                self.queue.done(key, again_after=again)

    async def _resync(self) -> None:
        """Look at each resource once in a while, spread over that while: what an event never told is found."""
        while True:
            await asyncio.sleep(RESYNC_S)
            for key in list(self.reflector.objects):
                self.queue.add_after(key, random.uniform(0, RESYNC_S))  # noqa: S311 - spreading, no secret
