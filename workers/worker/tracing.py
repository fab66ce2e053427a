"""One trace for each operation."""

from typing import Any

from opentelemetry import context
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.worker import (
    Interceptor,
    StartChildWorkflowInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ChildWorkflowHandle


def tracing_interceptors() -> list[ClientInterceptor]:
    """Return the interceptors of a client that traces; what workflows send passes the last one first."""
    return [TracingInterceptor(always_create_workflow_spans=True), OperationRoots()]


class OperationRoots(ClientInterceptor, Interceptor):
    """Lets each child workflow, which is an operation, start a trace of its own.

    The entity lives for months: as the root of everything it would make one trace without an end.
    """

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002
        """Return the class that wraps workflows."""
        del input
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    async def start_child_workflow(self, input: StartChildWorkflowInput) -> ChildWorkflowHandle[Any, Any]:  # noqa: A002
        token = context.attach(context.Context())
        try:
            return await super().start_child_workflow(input)
        finally:
            context.detach(token)
