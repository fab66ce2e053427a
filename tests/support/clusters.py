"""Driving clusters as a client of Temporal does."""

import asyncio
import contextlib
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from api.status import ClusterStatus
from contracts import queues
from contracts.workflows import CLUSTER, Accepted, workflow_id
from tests.support.resources import cluster_input

Handle = WorkflowHandle[Any, str]


async def start(client: Client, name: str, **spec: Any) -> Handle:
    """Start a cluster's entity workflow."""
    return await client.start_workflow(
        CLUSTER,
        cluster_input(name, **spec),
        id=workflow_id("default", name),
        task_queue=queues.CLUSTERS,
        result_type=str,
    )


async def until_created(client: Client, handle: Handle) -> ClusterStatus:
    """Wait for the end of a create without asking the worker again and again; returns the status after it."""
    create = client.get_workflow_handle(f"{handle.id}/create")
    while True:
        try:
            with contextlib.suppress(WorkflowFailureError):
                await create.result()
            break
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            await asyncio.sleep(0.05)
    return await until_idle(handle)


async def until_idle(handle: Handle) -> ClusterStatus:
    """Wait until no operation is under way."""
    while (found := await status(handle)).phase in {"Pending", "Creating", "Deleting"}:
        await asyncio.sleep(0.1)
    return found


async def status(handle: Handle) -> ClusterStatus:
    """Ask for the status."""
    found: ClusterStatus = await handle.query("status", result_type=ClusterStatus)
    return found


async def rotate(handle: Handle) -> ClusterStatus:
    """Have all certificates renewed; returns the status after it."""
    before = (await status(handle)).recent_operations[-1]
    await handle.execute_update("rotate_certificates", {"reason": "test"}, result_type=Accepted)
    while (found := await status(handle)).recent_operations[-1] == before:
        await asyncio.sleep(0.5)
    return found


async def delete(handle: Handle) -> str:
    """Delete a cluster and wait for its end."""
    await handle.execute_update("delete", {"reason": "test"}, result_type=Accepted)
    return await handle.result()
