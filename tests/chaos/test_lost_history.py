"""Temporal forgets a living cluster, or somebody terminates its workflow: a new start adopts and makes nothing."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activities.simulated.faults import Faults
from api.status import ClusterStatus, Phase
from contracts import activities as names
from deploy.stack import Stack, up
from tests.chaos import living, outside
from tests.chaos.cli import TemporalCli
from tests.chaos.conftest import SERVICES
from tests.chaos.lives import ONE_OF_EACH, held
from tests.support.clusters import Handle, delete, start, until_created
from tests.support.clusters import status as cluster_status
from tests.support.leaks import LeakSearch
from tests.support.resources import cluster_document
from tests.support.stack import say

NAME = "lasting"
ID = f"cluster/default/{NAME}"
SPEC: dict[str, Any] = {"provider": "local", "nodePools": [{"name": "workers", "replicas": 1}]}

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Facts:
    """What must not change when a cluster is adopted."""

    cluster_id: str
    endpoint: str | None
    instances: dict[str, str]
    processes: dict[str, list[int]]
    serials: dict[str, int]
    authorities: dict[str, list[int]]


def facts(stack: Stack, root: Any, status: ClusterStatus) -> Facts:
    """Look at the cluster."""
    cluster_id = status.cluster_id or ""
    found = living.processes(stack, cluster_id)
    return Facts(
        cluster_id,
        status.endpoint,
        living.instances(stack, cluster_id),
        {program: [process.pid for process in running] for program, running in found.items()},
        living.serials(stack, cluster_id),
        outside.authorities(root, cluster_id),
    )


@pytest.fixture(scope="module")
async def before(stack: Stack, client: Client, root: Any, leak_search: LeakSearch) -> AsyncIterator[Facts]:
    """A living cluster, and what it was like at first."""
    handle = await start(client, NAME, **SPEC)
    created = await until_created(client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    found = await asyncio.to_thread(facts, stack, root, created)
    leak_search.collect(found.cluster_id)
    yield found
    assert "nothing is left" in await delete(client.get_workflow_handle(ID, result_type=str))
    assert living.traces(stack, found.cluster_id) == []


async def adopted(stack: Stack, client: Client, root: Any, handle: Handle, folder: Path) -> Facts:
    """Wait for the end of an adoption, use the cluster, and return what it is like."""
    status = await until_created(client, handle)
    assert status.phase == Phase.RUNNING, status.waiting_on
    cluster_id = status.cluster_id or ""
    seen = await asyncio.to_thread(living.see, stack, "default", NAME, cluster_id, folder)
    seen.check()
    assert await asyncio.to_thread(outside.in_vault, stack, cluster_id) == held(2)
    return await asyncio.to_thread(facts, stack, root, status)


async def test_after_the_database_is_wiped_a_start_adopts(
    before: Facts, stack: Stack, client: Client, root: Any, tmp_path: Path
) -> None:
    supervisor = outside.supervisor(stack)
    supervisor.stop_group("temporal")
    for file in (stack.state / "temporal").iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    await asyncio.to_thread(up, say, SERVICES)
    assert [found async for found in client.list_workflows()] == []
    handle = await start(client, NAME, **SPEC)
    assert await adopted(stack, client, root, handle, tmp_path) == before
    assert before.authorities == ONE_OF_EACH
    done = TemporalCli(stack).history(f"{ID}/create")
    ran = [
        event.get("activityTaskScheduledEventAttributes", {}).get("activityType", {}).get("name") for event in done
    ]
    assert names.BOOT_MACHINE in ran
    assert {names.SIGN_CERTIFICATES, names.SEAL_SECRETS}.isdisjoint(ran)


async def test_after_terminate_only_the_same_cluster_is_adopted(
    before: Facts, stack: Stack, client: Client, root: Any, tmp_path: Path
) -> None:
    cli = TemporalCli(stack)
    cli.tell("workflow", "terminate", "--workflow-id", ID, "--reason", "a bad day")
    for change, fields in (
        ({"owner": "other"}, ["owner acme", "provider local"]),
        ({"provider": "simulated"}, ["owner acme", "provider local"]),
        ({"release": "1.36.3-1", "nodePools": []}, ["spec.release", "spec.nodePools"]),
    ):
        assert cli.start(ID, json.dumps(cluster_document(NAME, **{**SPEC, **change}))).returncode == 0
        assert await asyncio.to_thread(cli.until_closed, ID, 5) == "FAILED"
        why = cli.history(ID)[-1]["workflowExecutionFailedEventAttributes"]["failure"]["message"]
        assert [field for field in fields if field not in why] == [], why
    assert cli.start(ID, json.dumps(cluster_document(NAME, **SPEC))).returncode == 0
    handle: Handle = client.get_workflow_handle(ID, result_type=str)
    assert await adopted(stack, client, root, handle, tmp_path) == before


async def test_a_create_terminated_in_the_middle_is_completed_by_the_next_start(
    stack: Stack, client: Client
) -> None:
    world = outside.simulated(stack).world
    # Longer than the terminate takes: the machines that are made are still booting then.
    faults, earlier = Faults(world.path), len(world.journal())
    faults.boot_seconds(3)
    handle = await start(client, "halfway")
    while len(world.journal()) == earlier:
        await asyncio.sleep(0.05)
    assert (await cluster_status(handle)).phase == Phase.CREATING
    TemporalCli(stack).tell("workflow", "terminate", "--workflow-id", handle.id)
    made = {(row["kind"], row["name"]) for row in world.journal()[earlier:] if row["effect"] == "created"}
    assert "machine" in {kind for kind, _ in made}
    again = await start(client, "halfway")
    faults.boot_seconds(0)
    status = await until_created(client, again)
    assert status.phase == Phase.RUNNING, status.waiting_on
    assert "nothing is left" in await delete(again)
    # What the first run made belongs to the cluster that the second one completed, and was made once.
    journal = world.journal(status.cluster_id or "")
    effects = [(row["effect"], row["kind"], row["name"]) for row in journal]
    assert {("created", *thing) for thing in made} <= set(effects)
    assert len(effects) == len(set(effects))
    assert outside.left(stack, "simulated", status.cluster_id or "") == []
