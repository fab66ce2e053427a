"""kill -9 of the worker at several boundaries of creates and deletes of local machines, used by kubectl."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.status import ClusterStatus
from contracts import activities as names
from deploy.stack import Stack
from tests.chaos import living
from tests.chaos.crashing_worker import Kill
from tests.chaos.lanes import Lane
from tests.chaos.lives import Life, Results, Walk, wanted
from tests.support.leaks import LeakSearch

LANES = 3

pytestmark = pytest.mark.timeout(300)


def _life(create: tuple[str, str, int], delete: tuple[str, str, int] | None = None) -> Life:
    kills = [Kill(activity=kill[0], moment=kill[1], nth=kill[2]) if kill else None for kill in (create, delete)]
    return Life("local", kills[0], kills[1], nodes=1)


LIVES = [
    _life((names.BOOT_MACHINE, "after", 1), (names.DELETE_MACHINES, "before", 1)),
    # The machine's files are there, but supervisord has not been told to start it, or was told just now.
    _life((names.BOOT_MACHINE, "during", 2), (names.DELETE_MACHINES, "after", 1)),
    # Refused from now on, but nothing of it removed.
    _life((names.INSTALL_MACHINE, "before", 1), (names.DELETE_MACHINES, "during", 1)),
    _life((names.INSTALL_MACHINE, "after", 1)),
    _life((names.AWAIT_API, "before", 1)),
    _life((names.VERIFY_CLUSTER, "after", 1)),
]


@pytest.fixture(scope="module")
async def outcomes(
    request: pytest.FixtureRequest,
    stack: Stack,
    root: Any,
    leak_search: LeakSearch,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Results]:
    """What becomes of each life."""

    async def look(one: Lane, created: ClusterStatus) -> living.Seen:
        found = (one.client.namespace, created.name, created.cluster_id or "", one.folder)
        return await asyncio.to_thread(living.see, stack, *found)

    async with Walk(stack, root, look, leak_search).running(wanted(request), LANES, tmp_path_factory) as results:
        yield results


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
async def test_a_killed_worker_loses_and_doubles_no_machine(life: Life, outcomes: Results, stack: Stack) -> None:
    outcome = await outcomes[life]
    outcome.check()
    outcome.seen.check()
    assert living.traces(stack, outcome.created.cluster_id or "") == []
