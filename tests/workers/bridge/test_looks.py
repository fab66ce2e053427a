"""When the bridge looks again at a cluster's workflow: not before it has to, and soon when something failed."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from workers.bridge.decisions import Json
from workers.bridge.looks import SILENCE, Looks
from workers.bridge.resources import Resources
from workers.bridge.workflows import ClusterWorkflows, NotRunningError, Sign, UnansweredError

RESOURCE: Json = {"metadata": {"namespace": "default", "name": "demo"}}


class World:
    """Temporal and the host cluster, which fail when they are told to."""

    def __init__(self) -> None:
        self.running, self.failing, self.asked, self.doubts = True, False, 0, 0

    async def sign(self, *_: str) -> Sign:
        self.asked += 1
        return Sign(running=self.running, heard_at=datetime.now(UTC) - SILENCE - timedelta(seconds=1))

    async def doubt(self, *_: Any) -> None:
        if self.failing:
            raise UnansweredError("the API is away")
        self.doubts += 1


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def looks(world: World) -> Looks:
    return Looks(cast(Resources, world), cast(ClusterWorkflows, world))


async def test_what_was_seen_and_told_is_not_looked_at_again_for_a_while(looks: Looks, world: World) -> None:
    assert await looks.look(RESOURCE) > 0
    assert await looks.look(RESOURCE) > 0
    assert (world.asked, world.doubts) == (1, 1)


async def test_what_could_not_be_told_is_tried_again(looks: Looks, world: World) -> None:
    world.failing = True
    with pytest.raises(UnansweredError):
        await looks.look(RESOURCE)
    world.failing = False
    await looks.look(RESOURCE)
    assert (world.asked, world.doubts) == (2, 1)


async def test_a_workflow_that_does_not_run_is_told_of_each_time(looks: Looks, world: World) -> None:
    """Starting it again may have failed: the next try must not take it for running."""
    world.running = False
    for _ in range(2):
        with pytest.raises(NotRunningError):
            await looks.look(RESOURCE)
