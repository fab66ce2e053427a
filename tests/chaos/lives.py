"""Lives of clusters whose worker is killed on the way, side by side in a few lanes."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from api.status import ClusterStatus, Phase
from deploy.stack import Stack
from tests.chaos import outside, table
from tests.chaos.crashing_worker import Kill
from tests.chaos.lanes import Lane, lane
from tests.support.clusters import delete, start, until_created
from tests.support.leaks import LeakSearch

LIFE_SECONDS = 120
ONE_OF_EACH = {name: [1, 1] for name in ("kubernetes", "etcd", "front-proxy")}


def held(machines: int) -> dict[str, int]:
    """Return how much of each kind is in Vault of a whole cluster."""
    return {"authority": 3, "secret": 2, "issuance": machines, "network": 1, "registry": 1}


@dataclass(frozen=True)
class Life:
    """A cluster whose worker is killed during create, delete or both."""

    provider: str
    create: Kill | None = None
    delete: Kill | None = None
    slots: int = 1
    nodes: int = 2

    @property
    def name(self) -> str:
        """Readable id of the test."""
        kills = (("create", self.create), ("delete", self.delete))
        return "-".join(f"{operation}-{_point(kill)}" for operation, kill in kills if kill)


@dataclass(frozen=True)
class Outcome:
    """What became of a cluster, and what was seen outside of Temporal while it lived and after its end.

    ``authorities`` holds for each mount the number of CAs and of keys, ``held`` what else is in Vault.
    """

    life: Life
    created: ClusterStatus
    authorities: dict[str, list[int]]
    held: Counter[str]
    seen: Any
    end: str
    left: list[object]

    def check(self) -> None:
        """See that the cluster came to live whole, with one of each in Vault, and is gone without a trace."""
        assert self.created.phase == Phase.RUNNING, self.created.waiting_on
        assert self.authorities == ONE_OF_EACH
        assert self.held == held(self.life.slots + self.life.nodes)
        assert "nothing is left" in self.end
        assert self.left == []


Results = dict[Life, "asyncio.Future[Outcome]"]
Look = Callable[[Lane, ClusterStatus], Awaitable[Any]]
"""Looks at a living cluster."""


def wanted(request: pytest.FixtureRequest) -> list[Life]:
    """Return the lives that tests of the requesting module ask for."""
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    parameters = [test.callspec.params for test in tests if test.module is request.module]
    return [life for found in parameters if isinstance(life := found["life"], Life)]


@dataclass(frozen=True)
class Walk:
    """Takes lives through lanes."""

    stack: Stack
    root: Any
    look: Look
    leaks: LeakSearch

    @contextlib.asynccontextmanager
    async def running(
        self, lives: Sequence[Life], lanes: int, folders: pytest.TempPathFactory
    ) -> AsyncIterator[Results]:
        """Give what becomes of each life; all of them are under way."""
        loop = asyncio.get_running_loop()
        results: Results = {life: loop.create_future() for life in lives}
        waiting = iter(enumerate(lives))
        async with contextlib.AsyncExitStack() as stacked:
            opened = [
                await stacked.enter_async_context(
                    lane(self.stack, f"{lives[0].provider}-{number}", folders.mktemp("lane"))
                )
                for number in range(min(lanes, len(lives)))
            ]
            walks = [asyncio.create_task(self._walk(one, waiting, results)) for one in opened]
            yield results
            for walk in walks:
                walk.cancel()
            await asyncio.gather(*walks, return_exceptions=True)

    async def _walk(self, one: Lane, waiting: Iterator[tuple[int, Life]], results: Results) -> None:
        """Take life after life through one lane."""
        for number, life in waiting:
            try:
                async with asyncio.timeout(LIFE_SECONDS):
                    results[life].set_result(await self._live(one, life, f"{life.provider[:1]}{number}"))
            except Exception as error:  # noqa: BLE001 - told by the test of this life
                error.add_note(one.log[-3000:])
                results[life].set_exception(error)
                one.disarm()

    async def _live(self, one: Lane, life: Life, name: str) -> Outcome:
        """Create and delete a cluster, with the kills of its life on the way."""
        async with _killing(one, life.provider, "create", life.create):
            handle = await start(
                one.client,
                name,
                provider=life.provider,
                controlPlane={"replicas": life.slots},
                nodePools=[{"name": "workers", "replicas": life.nodes}],
            )
            created = await until_created(one.client, handle)
        cluster_id = created.cluster_id or ""
        authorities = await asyncio.to_thread(outside.authorities, self.root, cluster_id)
        in_vault = await asyncio.to_thread(outside.in_vault, self.stack, cluster_id)
        seen = await self.look(one, created)
        await asyncio.to_thread(self.leaks.collect, cluster_id, *one.folder.glob(f"{name}.yaml"))
        async with _killing(one, life.provider, "delete", life.delete):
            end = await delete(handle)
        left = await asyncio.to_thread(outside.left, self.stack, life.provider, cluster_id)
        return Outcome(life, created, authorities, in_vault, seen, end, left)


@contextlib.asynccontextmanager
async def _killing(one: Lane, provider: str, operation: str, kill: Kill | None) -> AsyncIterator[None]:
    """Let the lane's worker die once while the block runs, and note how long the block went on after that."""
    if kill is None:
        yield
        return
    one.arm(kill)
    dying = asyncio.create_task(one.death())
    try:
        yield
        finished = time.monotonic()
        assert dying.done(), f"{operation} ended without {kill}"
        moment = kill.moment + (f" ({kill.nth}.)" if kill.nth > 1 else "")
        table.ROWS.append(
            table.Row(provider, operation, f"worker at {kill.activity}", moment, finished - await dying)
        )
    finally:
        dying.cancel()


def _point(kill: Kill) -> str:
    return f"{kill.moment}-{kill.activity}" + (f"-{kill.nth}" if kill.nth > 1 else "")
