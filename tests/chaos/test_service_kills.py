"""The death of Temporal and of OpenBao in the middle of a create, and of a worker, or its end in order."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from api.status import ClusterStatus, Phase
from contracts.workflows import Accepted
from deploy.stack import Stack, status, supervisord, up
from tests.chaos import living, outside, table
from tests.chaos.known import start_known
from tests.chaos.lives import ONE_OF_EACH, held
from tests.e2e.people import G8S, attempt
from tests.support.clusters import Handle, delete
from tests.support.clusters import status as cluster_status
from tests.support.leaks import LeakSearch
from tests.support.stack import say
from workers.worker.serving import HANDOVER

SECONDS = 60.0
POOLS = [{"name": "workers", "replicas": 1}]

pytestmark = pytest.mark.timeout(180)


def pid_of(name: str) -> int | None:
    """Return the process id of a service that answers as it should."""
    return next(found.pid for found in status() if found.name == name and found.healthy)


async def until_running(handle: Handle) -> ClusterStatus:
    """Wait for the end of a create while Temporal may be away."""
    async with asyncio.timeout(SECONDS):
        while True:
            with contextlib.suppress(RPCError):
                found = await cluster_status(handle)
                if found.phase in {Phase.RUNNING, Phase.FAILED}:
                    return found
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("service", ["temporal", "openbao"])
async def test_a_create_survives_the_death_of(
    service: str, stack: Stack, client: Client, *, root: Any, leak_search: LeakSearch, tmp_path: Path
) -> None:
    handle, cluster_id = await start_known(client, f"no-{service}", provider="local", nodePools=POOLS)
    async with asyncio.timeout(SECONDS):
        while not (stack.state / "machines" / cluster_id / "control-plane-1").exists():
            await asyncio.sleep(0.01)
    victim = await asyncio.to_thread(pid_of, service)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    died = time.monotonic()
    created = await until_running(handle)
    table.ROWS.append(table.Row("local", "create", service, "while machines boot", time.monotonic() - died))
    assert created.phase == Phase.RUNNING, created.waiting_on
    assert await asyncio.to_thread(pid_of, service) != victim
    assert await asyncio.to_thread(outside.authorities, root, cluster_id) == ONE_OF_EACH
    assert await asyncio.to_thread(outside.in_vault, stack, cluster_id) == held(2)
    seen = await asyncio.to_thread(living.see, stack, "default", created.name, cluster_id, tmp_path)
    seen.check()
    leak_search.collect(cluster_id, tmp_path / f"{created.name}.yaml")
    assert "nothing is left" in await delete(handle)
    assert living.traces(stack, cluster_id) == []


@pytest.mark.parametrize(
    ("kill", "seconds"),
    [(False, 10), (True, HANDOVER.total_seconds() + 10)],
    ids=["stops in order", "is killed"],
)
async def test_workflows_are_taken_over_from_a_worker_that(
    stack: Stack, client: Client, *, kill: bool, seconds: float
) -> None:
    handle, _ = await start_known(client, f"taken-over-{kill}".lower(), provider="simulated", nodePools=POOLS)
    created = await until_running(handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    await asyncio.to_thread(supervisord.connect(stack).stop_group, "worker", kill=kill)
    looked = asyncio.create_task(handle.execute_update("retry", {"reason": "test"}, result_type=Accepted))
    await asyncio.sleep(0.5)
    assert not looked.done()
    await asyncio.to_thread(up, say)
    began = time.monotonic()
    await looked
    waited = time.monotonic() - began
    say(f"taken over {waited:.1f} s after the next worker had started")
    assert waited < seconds
    told = await asyncio.to_thread(attempt, G8S, "status", created.name)
    assert told.returncode == 0, told.stderr
    await delete(handle)
