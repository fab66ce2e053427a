"""kill -9 of Temporal and of OpenBao in the middle of a create: supervisord starts them again, and it goes on."""

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
from deploy.stack import Stack, status
from tests.chaos import living, outside, table
from tests.chaos.known import start_known
from tests.chaos.lives import ONE_OF_EACH, held
from tests.support.clusters import Handle, delete
from tests.support.clusters import status as cluster_status
from tests.support.leaks import LeakSearch

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
