"""Asking once: one attempt of an activity, whose failure its caller tells and lives with, or tries again."""

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
    activity_id: str | None = None,
    on_cancel: workflow.ActivityCancellationType = workflow.ActivityCancellationType.TRY_CANCEL,
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
        cancellation_type=on_cancel,
        activity_id=activity_id,
        summary=summary,
    )
    return result
