"""What the bridge asks Temporal about certificates: to issue one, to remove one, which a cluster has."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from contracts import queues
from contracts.issuing import (
    ISSUE_CERTIFICATE,
    REMOVE_CERTIFICATE,
    IssuedCertificate,
    IssueRequest,
    issue_id,
    removal_id,
)
from contracts.reporting import ResourceReference
from contracts.workflows import CertificatesAnswer, workflow_id
from workers.bridge.workflows import ANSWER, NotRunningError, RefusedError, UnansweredError, answered
from workflows import policies

UNTAKEN = "no worker takes it"
WAIT_S = 20.0
"""How long a certificate is waited for, which takes a second when nothing is away."""

LONGEST = timedelta(minutes=10)
"""How long a run may wait itself, before the next one begins with the cluster as it is by then."""


class CertificateWorkflows:
    """The workflows of certificates. Every method raises UnansweredError when nobody answers."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def known(self, namespace: str, name: str) -> CertificatesAnswer:
        """Return which certificates a cluster's machines have, and the cluster. Raises NotRunningError."""
        handle = self._client.get_workflow_handle(workflow_id(namespace, name))
        found = await answered(handle.describe(rpc_timeout=ANSWER))
        if found.status is not WorkflowExecutionStatus.RUNNING:
            raise NotRunningError(f"the workflow of {namespace}/{name} has ended")
        answer: CertificatesAnswer = await answered(
            handle.query("certificates", result_type=CertificatesAnswer, rpc_timeout=ANSWER)
        )
        return answer

    async def issue(self, start: IssueRequest) -> IssuedCertificate:
        """Have a certificate issued if it is due; returns what there is then.

        Raises RefusedError when it can't be issued as it is asked for, and UnansweredError with what it waits for.
        """
        summary = f"certificate {start.resource.name} of cluster {start.cluster.name}"
        found: IssuedCertificate = await self._run(
            ISSUE_CERTIFICATE, start, issue_id(start.resource, start.generation), summary, IssuedCertificate
        )
        return found

    async def remove(self, resource: ResourceReference) -> None:
        """Have a certificate's Secret removed."""
        summary = f"remove certificate {resource.name}"
        await self._run(REMOVE_CERTIFICATE, resource, removal_id(resource), summary)

    async def _run(
        self, kind: str, argument: Any, identifier: str, summary: str, result_type: type | None = None
    ) -> Any:
        """Start a workflow, or find it running, and wait a while for its result."""
        handle = await answered(
            self._client.start_workflow(
                kind,
                argument,
                id=identifier,
                task_queue=queues.CLUSTERS,
                priority=policies.BEHIND,
                execution_timeout=LONGEST,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                result_type=result_type,
                static_summary=summary,
                rpc_timeout=ANSWER,
            )
        )
        return await _ended(handle)


async def _ended(handle: WorkflowHandle[Any, Any]) -> Any:
    """Wait a while for a workflow's result, or for why it waits itself."""
    try:
        return await answered(asyncio.wait_for(handle.result(), WAIT_S))
    except TimeoutError:
        pending = (await answered(handle.describe(rpc_timeout=ANSWER))).raw_description.pending_activities
        reasons = "; ".join(map(_reason, pending)) or UNTAKEN
        raise UnansweredError(f"{handle.id} waits ({reasons})") from None
    except WorkflowFailureError as error:
        cause = error.cause.cause if isinstance(error.cause, ActivityError) else error.cause
        if not isinstance(cause, ApplicationError):
            raise UnansweredError(f"{handle.id} has ended ({cause}): it is begun anew") from error
        raise RefusedError(cause.message, cause.type or "") from error


def _reason(pending: PendingActivityInfo) -> str:
    failure = pending.last_failure
    told = f"{failure.application_failure_info.type}: {failure.message}" if failure.message else UNTAKEN
    return f"{pending.activity_type.name}: {told}"
