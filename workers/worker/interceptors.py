"""What every activity gets around it: a heartbeat, log fields, a metric, and errors that have a name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from api.errors import ERRORS, ErrorCode
from contracts.activities import read_activity_id
from contracts.errors import StepError

HEARTBEATS = 5
"""Within an activity's heartbeat timeout."""

DEFAULT_TIMEOUT = timedelta(seconds=5)

log = structlog.get_logger(__name__)


class ActivityBoundary(Interceptor):
    """Wraps activities; the only place where exceptions become Temporal failures."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wrap one activity's chain."""
        return _Boundary(next)


class _Boundary(ActivityInboundInterceptor):
    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._outbound = outbound
        super().init(outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        step, attempt = read_activity_id(info.activity_id)
        fields = {
            **_cluster_fields(input.args),
            "operation": info.workflow_type,
            "workflow_id": info.workflow_id,
            "step": step,
            "activity": info.activity_type,
            "attempt": attempt,
        }
        with structlog.contextvars.bound_contextvars(**fields):
            async with _heartbeats(self._outbound, (info.heartbeat_timeout or DEFAULT_TIMEOUT) / HEARTBEATS):
                return await self._execute(input)

    async def _execute(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            result = await super().execute_activity(input)
        except (ApplicationError, CancelledError, asyncio.CancelledError):
            raise
        except StepError as error:
            _count_failure(error.code)
            log.warning("step failed", code=error.code, message=error.message, retryable=error.retryable)
            raise ApplicationError(
                error.message, {"hint": error.hint}, type=error.code, non_retryable=not error.retryable
            ) from None
        except Exception as error:
            _count_failure(ErrorCode.INTERNAL)
            log.exception("activity raised what it does not know")
            # The text of an unknown exception may hold anything, a secret included: only its type travels.
            raise ApplicationError(
                f"unexpected {type(error).__name__} in {activity.info().activity_type}; the worker's log has more",
                {"hint": ERRORS[ErrorCode.INTERNAL].hint},
                type=ErrorCode.INTERNAL,
            ) from None
        log.info("step done")
        return result


@contextlib.asynccontextmanager
async def _heartbeats(outbound: ActivityOutboundInterceptor, pause: timedelta) -> AsyncIterator[None]:
    """Heartbeat while an activity runs, so that a killed worker is noticed in seconds.

    Not by ``activity.heartbeat``: that of a threaded activity waits for the event loop, which this runs on.
    """

    async def beat() -> None:
        while True:
            await asyncio.sleep(pause.total_seconds())
            outbound.heartbeat()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


def _cluster_fields(arguments: Any) -> dict[str, str]:
    """Return log fields of the cluster that an activity's argument is about."""
    argument = arguments[0] if arguments else None
    cluster = getattr(argument, "cluster", argument)
    found = {
        key: str(getattr(cluster, attribute, ""))
        for key, attribute in (("namespace", "namespace"), ("cluster", "name"), ("cluster_id", "cluster_id"))
    }
    return {key: value for key, value in found.items() if value}


def _count_failure(code: ErrorCode) -> None:
    meter = activity.metric_meter()
    counter = meter.create_counter("giantnetes_step_failures", "Failed attempts of activities by error code.")
    counter.add(1, {"code": code.value})
