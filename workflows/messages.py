"""Messages that don't fit their handler are turned away.

The SDK calls a handler with whatever was sent. Too few or too many arguments raise TypeError in it, which fails
the workflow *task*: it would be tried again for ever, and since a signal stays in the history, nothing but new
code would make the workflow go on.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.worker import (
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from api.errors import ErrorCode
from workflows.entity import refusal


class FittingMessages(Interceptor):
    """Rejects updates and drops signals with the wrong number of values."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002
        """Return what wraps each run."""
        del input
        return _FittingMessages


class _FittingMessages(WorkflowInboundInterceptor):
    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        misfit = _misfit(input.signal, input.args)
        if misfit:
            workflow.logger.warning("signal %s dropped: %s", input.signal, misfit)
        else:
            await super().handle_signal(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002
        _check(input)
        super().handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        _check(input)
        return await super().handle_update_handler(input)


def _check(update: HandleUpdateInput) -> None:
    if misfit := _misfit(update.update, update.args):
        raise refusal(ErrorCode.INVALID_SPEC, f"update {update.update}: {misfit}")


def _misfit(name: str, arguments: Sequence[object]) -> str:
    """Say why a handler, which is named as its method, can't be called with ``arguments``; empty when it can."""
    wanted = len(inspect.signature(getattr(workflow.instance(), name)).parameters)
    return "" if wanted == len(arguments) else f"{wanted} JSON value(s) wanted, {len(arguments)} given"
