"""Outages of days and weeks, in days of seconds: clusters work on, and rotations that were missed are made up."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from deploy.stack import Stack, start_supervisor, up
from tests.bench.clients import Clients, local_endpoints
from tests.chaos import days, living, outside
from tests.chaos.conftest import SERVICES
from tests.chaos.lanes import lane
from tests.chaos.rotating import ROTATION, Rotated, new, rotated_cluster
from tests.chaos.test_power_cut import cut
from tests.support.leaks import LeakSearch
from tests.support.stack import say

NAME = "outages"
DAY_SECONDS, SHORT_DAY_SECONDS = 15, 3
MACHINES = {"control-plane-1", "workers-1"}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
async def rotated(
    stack: Stack, leak_search: LeakSearch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rotated]:
    """A cluster of one control plane machine and one node, whose certificates live for seven short days.

    Those of its first minutes live longer: clients read their files every five minutes, however short days are.
    """
    async with (
        lane(stack, NAME, tmp_path_factory.mktemp("lane")) as one,
        rotated_cluster(one, stack, NAME, nodes=1) as cluster,
    ):
        await asyncio.to_thread(leak_search.collect, cluster.cluster_id)
        await let_days_last(cluster, DAY_SECONDS)
        yield cluster


async def let_days_last(rotated: Rotated, seconds: int) -> None:
    """Go on with days of so many seconds, and certificates that live for seven of them."""
    await rotated.lane.stop_worker()
    await rotated.lane.start_worker("env", f"{days.VARIABLE}={seconds}")
    await rotated.renewed(await rotated.rotate())


@pytest.fixture(scope="module")
def kubeconfig(rotated: Rotated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of an administrator, whose certificate lives for whole minutes."""
    return living.kubeconfig(rotated.stack, NAME, NAME, tmp_path_factory.mktemp("kube") / "config")


async def made_up(rotated: Rotated, back: datetime) -> None:
    """Wait for the end of a rotation that nobody asked for, begun later than ``back``, with all renewed."""
    await rotated.until(
        lambda found: (
            found.unrenewed == {}
            and any(
                (record.type, record.outcome) == (ROTATION, "Succeeded") and record.started_at > back
                for record in found.recent_operations
            )
        )
    )


async def test_72_hours_without_temporal_and_vault_are_noticed_by_nobody(
    rotated: Rotated, kubeconfig: Path
) -> None:
    """The stack has no host cluster at all."""
    supervisor = outside.supervisor(rotated.stack)
    with Clients(kubeconfig, partial(local_endpoints, rotated.machines)) as clients:
        running = rotated.processes()
        for service in ("temporal", "openbao"):
            await asyncio.to_thread(supervisor.stop_group, service, kill=True)
        await asyncio.sleep(3 * DAY_SECONDS)
        before, back = rotated.pairs(), datetime.now(UTC)
        await asyncio.to_thread(up, say, SERVICES)
        await made_up(rotated, back)
        assert new(before, rotated.pairs()) == MACHINES
        assert rotated.processes() == running
    assert clients.requests > 3 * DAY_SECONDS
    failed = (clients.failed_requests, clients.failed_handshakes, clients.watch_breaks)
    assert failed == (0, 0, 0), clients.failures


async def test_a_cluster_that_slept_until_all_had_ended_is_renewed_by_a_plain_rotation(
    rotated: Rotated, kubeconfig: Path
) -> None:
    await let_days_last(rotated, SHORT_DAY_SECONDS)
    await asyncio.to_thread(cut, rotated.stack)
    await rotated.lane.stop_worker()
    before = rotated.pairs()
    end = max(certificate.not_valid_after_utc for certificate in before.values())
    while datetime.now(UTC) < end:
        await asyncio.sleep(0.1)

    back = datetime.now(UTC)
    await asyncio.to_thread(start_supervisor, say)
    await asyncio.to_thread(up, say, SERVICES)
    await rotated.lane.start_worker("env", f"{days.VARIABLE}={DAY_SECONDS}")
    await made_up(rotated, back)
    assert new(before, rotated.pairs()) == MACHINES
    ready = ("wait", "--for=condition=Ready", "node/workers-1", "--timeout=55s")
    await asyncio.to_thread(living.kubectl, kubeconfig, *ready)
