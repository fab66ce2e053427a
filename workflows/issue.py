"""IssueCertificate and RemoveCertificate: the Secret of a ``Certificate`` resource, and its end."""

from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

from api.errors import ErrorCode
from contracts import activities as names
from contracts import queues
from contracts.issuing import (
    ISSUE_CERTIFICATE,
    REMOVE_CERTIFICATE,
    ClientCertificate,
    ClientSigningRequest,
    IssuedCertificate,
    IssueRequest,
    KeyAnswer,
    KeyRequest,
    StoreAnswer,
    StoreRequest,
)
from contracts.reporting import ResourceReference
from contracts.vault import AuthorityFacts
from workflows import policies
from workflows.operation import internal

Result = TypeVar("Result")

RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2,
    maximum_interval=timedelta(minutes=1),
    # It begins with a cluster as that was: who asks again asks with the cluster as it is.
    non_retryable_error_types=[ErrorCode.CLUSTER_NOT_READY],
)


@workflow.defn(name=ISSUE_CERTIFICATE)
class IssueCertificateWorkflow:
    """Waits for what is away; what can't be issued fails it, with what is to be changed.

    Whoever starts it bounds its time: it goes on with the spec and the cluster as they were at its start.
    """

    @workflow.run
    async def run(self, start: IssueRequest | None = None) -> IssuedCertificate:
        """Return what the Secret holds, once that is what the spec says; a key is made before it is asked for."""
        if start is None:
            raise internal("input: none was given; certificates are issued for Certificate resources")
        resource, spec, cluster = start.resource, start.spec, start.cluster
        vault = queues.vault(cluster.spec.site)
        authority = (await call(names.FIND_AUTHORITY, vault, start, AuthorityFacts)).certificate
        while True:
            wanted = KeyRequest(resource=resource, generation=start.generation, spec=spec, authority=authority)
            key = await call(names.PREPARE_KEY, queues.HOST, wanted, KeyAnswer)
            if key.held and not key.reason:
                return IssuedCertificate(held=key.held)
            asked = ClientSigningRequest(
                resource=resource, spec=spec, cluster=cluster, request=key.request, renewing=key.renewing
            )
            signed = await call(names.SIGN_CLIENT_CERTIFICATE, vault, asked, ClientCertificate)
            put = StoreRequest(
                resource=resource,
                generation=start.generation,
                spec=spec,
                authority=authority,
                certificate=signed.certificate,
                reason=key.reason,
            )
            stored = await call(names.STORE_CERTIFICATE, queues.HOST, put, StoreAnswer)
            if stored.held:
                return IssuedCertificate(held=stored.held)


@workflow.defn(name=REMOVE_CERTIFICATE)
class RemoveCertificateWorkflow:
    """Removes the Secret of a ``Certificate`` that is being deleted."""

    @workflow.run
    async def run(self, resource: ResourceReference | None = None) -> None:
        """Return when nothing is left."""
        if resource is None:
            raise internal("input: none was given; Secrets are removed with their Certificate resources")
        await call(names.REMOVE_CERTIFICATE, queues.HOST, resource, type(None))


async def call(activity: str, queue: str, request: Any, result_type: type[Result]) -> Result:
    result: Result = await workflow.execute_activity(
        activity,
        request,
        result_type=result_type,
        task_queue=queue,
        start_to_close_timeout=policies.start_to_close(activity),
        heartbeat_timeout=policies.HEARTBEAT_TIMEOUT,
        retry_policy=RETRY,
    )
    return result
