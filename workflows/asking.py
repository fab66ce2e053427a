"""Asking once: an activity outside of any operation, whose failure its caller tells and lives with."""

from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

from workflows import policies

Result = TypeVar("Result")


async def ask(
    activity: str,
    queue: str,
    request: Any,
    result_type: type[Result],
    summary: str,
    *,
    taken_within: timedelta = policies.QUEUE_TIMEOUT,
) -> Result:
    """Run an activity once and return its result; raises ``ActivityError``."""
    result: Result = await workflow.execute_activity(
        activity,
        request,
        result_type=result_type,
        task_queue=queue,
        start_to_close_timeout=policies.start_to_close(activity),
        schedule_to_start_timeout=taken_within,
        heartbeat_timeout=policies.HEARTBEAT_TIMEOUT,
        retry_policy=policies.ONE_ATTEMPT,
        summary=summary,
    )
    return result
