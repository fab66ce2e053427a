"""Reading failures: from Temporal's exception chain to an error that people act on."""

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    TimeoutType,
)
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from api.errors import ERRORS, ErrorCode
from api.status import ErrorStatus
from workflows.policies import UNANSWERED

LENGTH = 300
REFUSAL_LENGTH = 3000
"""A refusal is told once, and names every faulty field; other errors are told again with every attempt."""


def error_status(error: BaseException, queue: str = "") -> ErrorStatus:
    """Describe the failure of an activity or a child workflow in one line, with what to do next.

    ``queue`` is the task queue that an activity was asked on, if that is known.
    """
    cause = error.cause if isinstance(error, ActivityError | ChildWorkflowError) else error
    if isinstance(cause, TemporalTimeoutError):
        return _timeout(error, cause, queue)
    if isinstance(cause, ApplicationError):
        return _application(cause)
    if isinstance(cause, TerminatedError):
        hint = "send `retry`: it goes on from what exists"
        return ErrorStatus(code=ErrorCode.INTERNAL, message="somebody terminated it", retryable=True, hint=hint)
    return ErrorStatus(
        code=ErrorCode.INTERNAL,
        message=_one_line(str(cause)),
        retryable=True,
        hint=ERRORS[ErrorCode.INTERNAL].hint,
    )


def is_unanswered(error: ErrorStatus, attempt: int) -> bool:
    """Say whether a hypervisor is silent, after failure number ``attempt``."""
    return attempt >= UNANSWERED.get(ErrorCode(error.code), attempt + 1)


def is_cancelled(error: BaseException) -> bool:
    """Say whether an activity or child ended because it was cancelled."""
    return isinstance(error, ActivityError | ChildWorkflowError) and isinstance(error.cause, CancelledError)


def _application(error: ApplicationError) -> ErrorStatus:
    try:
        code = ErrorCode(error.type or "")
    except ValueError:
        code = ErrorCode.INTERNAL
    known = ERRORS[code]
    return ErrorStatus(
        code=code,
        message=_one_line(error.message, REFUSAL_LENGTH if error.non_retryable else LENGTH),
        retryable=not error.non_retryable,
        hint=known.hint,
    )


def _timeout(error: BaseException, cause: TemporalTimeoutError, queue: str) -> ErrorStatus:
    activity = error.activity_type if isinstance(error, ActivityError) else "activity"
    if cause.type == TimeoutType.SCHEDULE_TO_START:
        message = (
            f"no worker took {activity} from the task queue {queue}" if queue else f"no worker took {activity}"
        )
        code = ErrorCode.WORKER_MISSING
        return ErrorStatus(code=code, message=message, retryable=True, hint=ERRORS[code].hint)
    if cause.type == TimeoutType.HEARTBEAT:
        message = f"the worker went away during {activity}"
        hint = "the step goes on by itself when a worker is there"
    else:
        message = f"{activity} did not end in time"
        hint = "look at the worker's log; the step goes on by itself"
    return ErrorStatus(code=ErrorCode.INTERNAL, message=message, retryable=True, hint=hint)


def _one_line(text: str, length: int = LENGTH) -> str:
    return " ".join(text.split())[:length]
