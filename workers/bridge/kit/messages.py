"""Messages to workflows: sent, answered, and why not, in the same three words for all kinds of resources."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError, RPCStatusCode

ANSWER = timedelta(seconds=10)
"""An update is answered by a worker as soon as it has taken it; one that isn't may not have been taken."""

WAIT_S = 20.0
"""How long a workflow's result is waited for, which takes a second when nothing is away."""

UNTAKEN = "no worker takes it"

_AWAY = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}


class RefusedError(Exception):
    """The workflow refused a message, saying why; ``code`` is one of ``api.errors`` where it has one."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class UnansweredError(Exception):
    """Nobody answered: Temporal is away, or no worker polls. It may have been taken all the same."""


class NotRunningError(Exception):
    """There is no such workflow, or it has ended."""


async def answered(call: Any) -> Any:
    """Await a call to Temporal, and say in our words why it failed."""
    try:
        return await call
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        code = (cause.type or "") if isinstance(cause, ApplicationError) else ""
        raise RefusedError(cause.message if isinstance(cause, ApplicationError) else str(cause), code) from error
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise UnansweredError(f"no worker answered within {ANSWER.seconds} s") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotRunningError(error.message) from error
        if error.status in _AWAY:
            raise UnansweredError(f"Temporal does not answer: {error.message}") from error
        raise


async def ended(handle: WorkflowHandle[Any, Any]) -> Any:
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
