"""Entities live for months: across continue-as-new, and replayed from the start at every task."""

import asyncio
import contextlib

from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from api.status import Phase
from contracts import activities as names
from contracts import queues
from tests.support.clusters import Handle
from tests.support.fakes import Script, fake_queues
from tests.support.temporal import SANDBOX, start_server
from tests.workflows.conftest import Clusters, served
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import WORKFLOWS, make_workers

CONTINUE_SOON = ("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=50")


async def test_state_survives_continue_as_new() -> None:
    async with await start_server(*CONTINUE_SOON) as environment, served(environment, Script()) as clusters:
        handle = await clusters.start("lasting")
        first = (await handle.describe()).run_id
        status = await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
        latest = clusters.client.get_workflow_handle(handle.id, result_type=str)
        while (await latest.describe()).run_id == first:
            await asyncio.sleep(0.05)
        again = await clusters.status(latest)
        assert (again.cluster_id, again.endpoint, again.phase) == (
            status.cluster_id,
            status.endpoint,
            Phase.RUNNING,
        )
        assert [operation.type for operation in again.recent_operations] == ["CreateCluster"]
        assert clusters.script.count(names.CLAIM) == 1
        await clusters.send(latest, "delete")
        assert "nothing is left" in await latest.result()


async def test_an_operation_that_keeps_failing_continues_as_new() -> None:
    script = Script()
    script.failures[names.VERIFY_CLUSTER] = 4
    async with await start_server(*CONTINUE_SOON) as environment, served(environment, script) as clusters:
        handle = await clusters.start("failing")
        # The first run of the cluster, which knows the operation when the next one has begun too.
        first: Handle = clusters.client.get_workflow_handle(handle.id, run_id=handle.result_run_id)
        status = await clusters.until(first, lambda status: status.phase == Phase.RUNNING)
        assert script.count(names.VERIFY_CLUSTER) == script.count(names.CLAIM) == 5
        assert status.operation
        verify = next(step for step in status.operation.steps if step.name == "verify")
        assert verify.attempt == 5
        assert [record.outcome for record in status.recent_operations] == ["Succeeded"]
        took = status.recent_operations[0].finished_at - status.recent_operations[0].started_at
        assert took.total_seconds() >= 0.5 * (script.count(names.VERIFY_CLUSTER) - 1)


async def test_an_operation_that_continued_as_new_can_be_paused_and_cancelled() -> None:
    script = Script()
    script.failures[names.VERIFY_CLUSTER] = 1000
    async with await start_server(*CONTINUE_SOON) as environment, served(environment, script) as clusters:
        handle = await clusters.start("given-up")
        await clusters.until(handle, lambda _: script.count(names.CLAIM) > 1)
        await clusters.send(handle, "pause")
        await clusters.send(handle, "retry")
        assert "once it is resumed" in (await clusters.send(handle, "cancel")).message
        assert script.count(names.DELETE_MACHINES) == 0
        await clusters.send(handle, "resume")
        assert "undone" in await handle.result()
        assert script.count(names.DELETE_MACHINES) == 1


async def test_a_create_that_can_not_be_planned_continues_as_new() -> None:
    script = Script()
    script.unplannable = 7
    async with await start_server(*CONTINUE_SOON) as environment, served(environment, script) as clusters:
        handle = await clusters.start("unplannable")
        first = (await handle.describe()).run_id
        latest = clusters.client.get_workflow_handle(handle.id, result_type=str)
        await clusters.until(latest, lambda status: status.phase == Phase.RUNNING)
        assert (await latest.describe()).run_id != first


async def test_every_task_may_replay_from_the_start(temporal: WorkflowEnvironment) -> None:
    script = Script()
    script.failures.update({names.ENSURE_AUTHORITY: 2, names.AWAIT_NODES: 1})
    activities = [queue for queue in fake_queues(script) if queue.name != queues.CLUSTERS]
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(temporal.client, activities, [ActivityBoundary()], SANDBOX):
            await stack.enter_async_context(worker)
        uncached = Worker(temporal.client, task_queue=queues.CLUSTERS, workflows=WORKFLOWS, max_cached_workflows=0)
        await stack.enter_async_context(uncached)
        clusters = Clusters(temporal.client, script)
        handle = await clusters.start("uncached")
        await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
        await clusters.send(handle, "delete")
        await handle.result()
        assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
