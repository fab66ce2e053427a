"""A worker with scripted activities, and a client that talks to clusters."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from api.status import ClusterStatus
from contracts import queues
from contracts.workflows import CLUSTER, Accepted, workflow_id
from tests.support.fakes import Script, fake_queues
from tests.support.resources import cluster_input
from tests.support.temporal import SANDBOX, end_all
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import make_workers


class Clusters:
    """Starts and watches clusters as a client would."""

    def __init__(self, client: Client, script: Script) -> None:
        self.client = client
        self.script = script

    async def start(self, name: str, uid: str | None = None, **spec: Any) -> WorkflowHandle[Any, str]:
        """Start the entity workflow of a new cluster."""
        wanted = cluster_input(name, **spec)
        metadata = wanted.metadata.model_copy(update={"uid": uid})
        return await self.client.start_workflow(
            CLUSTER,
            wanted.model_copy(update={"metadata": metadata}),
            id=workflow_id("default", name),
            task_queue=queues.CLUSTERS,
            result_type=str,
        )

    async def status(self, handle: WorkflowHandle[Any, str]) -> ClusterStatus:
        """Ask a cluster for its status."""
        found: ClusterStatus = await handle.query("status", result_type=ClusterStatus)
        return found

    async def until(
        self, handle: WorkflowHandle[Any, str], wanted: Callable[[ClusterStatus], bool]
    ) -> ClusterStatus:
        """Wait until a cluster's status is as wanted; the test's own time limit ends a wait in vain."""
        while not wanted(status := await self.status(handle)):
            await asyncio.sleep(0.05)
        return status

    async def send(self, handle: WorkflowHandle[Any, str], update: str, **argument: Any) -> Accepted:
        """Send an update."""
        accepted: Accepted = await handle.execute_update(update, argument, result_type=Accepted)
        return accepted

    async def signaled(self, workflow: str, signal: str) -> None:
        """Wait until a signal is in the history of a workflow."""
        while True:
            async for event in self.client.get_workflow_handle(workflow).fetch_history_events():
                if event.workflow_execution_signaled_event_attributes.signal_name == signal:
                    return
            await asyncio.sleep(0.05)


@pytest.fixture
def script() -> Script:
    """What the activities do in this test."""
    return Script()


@contextlib.asynccontextmanager
async def served(
    environment: WorkflowEnvironment, script: Script, client: Client | None = None
) -> AsyncIterator[Clusters]:
    """Serve all queues with scripted activities, by ``client`` if it has something of its own.

    What tests before have left is ended first: it would call this script.
    """
    client = client or environment.client
    await end_all(client)
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(client, fake_queues(script), [ActivityBoundary()], SANDBOX):
            await stack.enter_async_context(worker)
        yield Clusters(client, script)


@pytest.fixture
async def clusters(temporal: WorkflowEnvironment, script: Script) -> AsyncIterator[Clusters]:
    """Clusters on the real server."""
    async with served(temporal, script) as found:
        yield found


@pytest.fixture
async def skipping_clusters(skipping: WorkflowEnvironment, script: Script) -> AsyncIterator[Clusters]:
    """Clusters on the server that skips time."""
    async with served(skipping, script) as found:
        yield found
