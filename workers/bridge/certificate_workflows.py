"""What the bridge asks Temporal about certificates: to issue one, to remove one, which a cluster has."""

from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy

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
from workers.bridge.kit.messages import ANSWER, NotRunningError, answered, ended
from workflows import policies

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
        return await ended(handle)
