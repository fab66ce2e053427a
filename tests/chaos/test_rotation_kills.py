"""kill -9 of the worker, twice, around every activity of a rotation of real machines."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from contracts import activities as names
from deploy.stack import Stack
from tests.chaos import table
from tests.chaos.crashing_worker import Kill
from tests.chaos.lanes import lane
from tests.chaos.rotating import Rotated, new, rotated_cluster

pytestmark = pytest.mark.timeout(300)

STEPS = (
    names.PLAN_OPERATION,
    names.ENSURE_AUTHORITY,
    names.RENEW_KEYS,
    names.SIGN_CERTIFICATES,
    names.INSTALL_MACHINE,
    names.VERIFY_SERVING,
)
KILLS = [(activity, moment) for activity in STEPS for moment in ("before", "after")]
# Vault or supervisord has answered the first of what an activity asks; planning and handshakes ask neither.
KILLS += [(activity, "during") for activity in STEPS[1:5]]


@pytest.fixture(scope="module")
async def rotated(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rotated]:
    """A cluster of one control plane machine and one node, with a worker of its own that can be killed."""
    async with (
        lane(stack, "rotation", tmp_path_factory.mktemp("lane")) as one,
        rotated_cluster(one, stack, "rotated", nodes=1) as cluster,
    ):
        yield cluster


@pytest.mark.parametrize(("activity", "moment"), KILLS)
async def test_a_worker_that_dies_twice_leaves_whole_pairs_and_renews_all(
    rotated: Rotated, activity: str, moment: str
) -> None:
    before, running = rotated.pairs(), rotated.processes()
    rotated.lane.arm(Kill(activity=activity, moment=moment))
    since = await rotated.rotate()
    await rotated.lane.death()
    rotated.pairs()
    rotated.lane.arm(Kill(activity=activity, moment=moment))
    died = await rotated.lane.death()
    rotated.pairs()
    await rotated.renewed(since)
    table.ROWS.append(table.Row("local", "rotate", activity, moment, asyncio.get_running_loop().time() - died))
    assert new(before, rotated.pairs()) == {"control-plane-1", "workers-1"}
    assert rotated.processes() == running
