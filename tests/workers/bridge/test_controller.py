"""Reconciling: each resource by itself, again after a failure, and all of them once in a while."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.workers.bridge.conftest import Line, running
from tests.workers.bridge.test_reflector import PATH, create, empty
from workers.bridge.kit import controller as module
from workers.bridge.kit import queue
from workers.bridge.kit.controller import Controller, Reconcile
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.reflector import Key

__all__ = ["empty"]


@contextlib.asynccontextmanager
async def controlling(kube: Kube, reconcile: Reconcile) -> AsyncIterator[Controller]:
    controller = Controller(kube, PATH, reconcile)
    async with running(controller.run()):
        yield controller


async def until(seen: "Counter[str]", **counts: int) -> None:
    async with asyncio.timeout(40):
        while any(seen[name] < count for name, count in counts.items()):
            await asyncio.sleep(0.01)


async def test_one_resource_that_fails_holds_no_other_back_and_is_tried_again(kube: Kube) -> None:
    seen: Counter[str] = Counter()

    async def reconcile(key: Key, resource: Json | None) -> None:
        assert resource is not None
        seen[key[1]] += 1
        if key[1] == "bad":
            raise RuntimeError("no")

    for name in ("bad", "good", "other"):
        await create(kube, name)
    async with controlling(kube, reconcile):
        await until(seen, bad=3, good=1, other=1)
    assert seen["good"] == seen["other"] == 1


async def test_what_is_gone_is_reconciled_as_gone(kube: Kube) -> None:
    gone = asyncio.Event()

    async def reconcile(key: Key, resource: Json | None) -> None:
        if resource is None:
            gone.set()
        else:
            await kube.send("DELETE", f"{PATH}/{key[1]}")

    await create(kube, "short")
    async with controlling(kube, reconcile):
        await asyncio.wait_for(gone.wait(), 30)


async def test_all_are_looked_at_once_in_a_while(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESYNC_S", 0.3)
    seen: Counter[str] = Counter()

    async def reconcile(key: Key, resource: Json | None) -> None:
        seen[key[1]] += 1

    await create(kube, "quiet")
    async with controlling(kube, reconcile):
        await until(seen, quiet=4)


async def test_many_resources_that_fail_in_an_outage_are_tried_at_a_bounded_rate(
    kube: Kube, distant: Kube, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 60 wants a request at once, and the API is away."""
    monkeypatch.setattr(queue, "LONGEST_S", 2.0)
    for number in range(60):
        await create(kube, f"c{number}")
    seen: Counter[str] = Counter()

    async def reconcile(key: Key, resource: Json | None) -> None:
        await distant.get(f"{PATH}/{key[1]}")
        seen[key[1]] += 1

    async with controlling(distant, reconcile) as controller:
        await until(seen, **{f"c{number}": 1 for number in range(60)})
        await line.cut()
        await asyncio.sleep(5)
        before = distant.requests
        for key in controller.reflector.objects:
            controller.queue.add(key)
        await asyncio.sleep(5)
        assert distant.requests - before <= 2 * 100
        await line.open()
        again = seen.copy()
        await until(seen, **{name: count + 1 for name, count in again.items()})
