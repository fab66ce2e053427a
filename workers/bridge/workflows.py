"""Messages to the workflows of clusters, and what Temporal itself knows of them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from temporalio.common import WorkflowIDConflictPolicy

from contracts import activities as names
from contracts import queues
from contracts.workflows import (
    CLUSTER,
    Accepted,
    ApplyRequest,
    ClusterInput,
    Reason,
    ReplaceMachineRequest,
    workflow_id,
)
from workers.bridge.kit.messages import ANSWER, NotRunningError, answered


@dataclass(frozen=True)
class Sign:
    """The last sign of life of what reports on a cluster; None when nothing is to be expected of it now."""

    running: bool
    heard_at: datetime | None = None


class ClusterWorkflows:
    """The workflows of all clusters. Every method raises UnansweredError when nobody answers."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, start: ClusterInput) -> Accepted:
        """Tell a cluster its spec, and start it if it doesn't run. Raises RefusedError."""
        metadata = start.metadata
        request = ApplyRequest(
            uid=metadata.uid,
            generation=metadata.generation,
            spec=start.spec,
            resource=True,
            requested_by=start.requested_by,
        )
        return await self._start("apply", request, start)

    async def delete(self, start: ClusterInput) -> Accepted:
        """Have a cluster deleted, started if it doesn't run: something of it may be there. Raises RefusedError."""
        return await self._start(
            "delete", Reason(requested_by=start.requested_by, uid=start.metadata.uid or ""), start
        )

    async def update(
        self,
        namespace: str,
        name: str,
        update: str,
        *,
        asker: str,
        uid: str = "",
        machine: str = "",
        once: str | None = None,
    ) -> Accepted:
        """Send an update to a workflow that runs, if the cluster is that of the resource ``uid``.

        ``once`` is the id of the update. Raises RefusedError and NotRunningError.
        """
        handle = self._client.get_workflow_handle(workflow_id(namespace, name))
        request = Reason(requested_by=asker, uid=uid)
        if machine:
            request = ReplaceMachineRequest(requested_by=asker, uid=uid, machine=machine)
        answer: Accepted = await answered(
            handle.execute_update(update, request, id=once, result_type=Accepted, rpc_timeout=ANSWER)
        )
        return answer

    async def ask_to_report(self, namespace: str, name: str) -> None:
        """Have a cluster report again. Raises NotRunningError."""
        handle = self._client.get_workflow_handle(workflow_id(namespace, name))
        await answered(handle.signal("report", rpc_timeout=ANSWER))

    async def sign(self, namespace: str, name: str) -> Sign:
        """Say whether a cluster's workflow runs, and when its probe was last heard of."""
        handle = self._client.get_workflow_handle(workflow_id(namespace, name))
        try:
            found = await answered(handle.describe(rpc_timeout=ANSWER))
        except NotRunningError:
            return Sign(running=False)
        return read_sign(found)

    async def _start(self, update: str, request: Any, start: ClusterInput) -> Accepted:
        operation: WithStartWorkflowOperation[Any, str] = WithStartWorkflowOperation(
            CLUSTER,
            start,
            id=workflow_id(start.metadata.namespace, start.metadata.name),
            task_queue=queues.CLUSTERS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            result_type=str,
        )
        answer: Accepted = await answered(
            self._client.execute_update_with_start_workflow(
                update,
                request,
                start_workflow_operation=operation,
                result_type=Accepted,
                rpc_timeout=ANSWER,
            )
        )
        return answer


def read_sign(found: WorkflowExecutionDescription) -> Sign:
    """Read what Temporal tells of a workflow: its probe heartbeats, or was started, or waits for a worker.

    While a report waits to be written nothing later is told, whatever the probe has heard.
    """
    if found.status is not WorkflowExecutionStatus.RUNNING:
        return Sign(running=False)
    waiting = found.raw_description.pending_activities
    reports = [each.scheduled_time for each in waiting if each.activity_type.name == names.REPORT_STATUS]
    for pending in waiting:
        if pending.activity_type.name != names.PROBE_API:
            continue
        started = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        times = [
            pending.last_heartbeat_time,
            pending.scheduled_time,
            *([pending.last_started_time] if started else []),
        ]
        heard_at = max(time.ToDatetime(tzinfo=UTC) for time in times)
        return Sign(running=True, heard_at=min([heard_at, *(time.ToDatetime(tzinfo=UTC) for time in reports)]))
    return Sign(running=True)
