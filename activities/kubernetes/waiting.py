"""Waiting inside of an activity: with a deadline, and an ear for cancellation.

Heartbeats are sent around every activity (``workers.worker.interceptors``), whatever its thread waits for. A
rescue (``workers.rescue``) calls the same functions without Temporal, where nobody cancels.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from temporalio import activity
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay

from nodes.machine.waiting import INTERVAL_SECONDS, pause

T = TypeVar("T")

LONGEST_SECONDS = 120.0
"""The longest that one attempt waits; the workflow tries again, and shows why."""


def patience() -> float:
    """Return how many seconds this attempt may wait: so few that its own error comes before its timeout."""
    timeout = activity.info().start_to_close_timeout if activity.in_activity() else None
    return min(LONGEST_SECONDS, 0.9 * timeout.total_seconds()) if timeout else LONGEST_SECONDS


def poll(probe: Callable[[], T | None], seconds: float, interval: float = INTERVAL_SECONDS) -> T | None:
    """Call ``probe`` until it returns something, for ``seconds``; then return None.

    ``interval`` is how many seconds it waits at least in between. The longer it waits, the less often it asks.
    """
    return Retrying(
        retry=retry_if_result(lambda result: result is None),
        stop=stop_after_delay(seconds),
        wait=lambda state: pause(state.seconds_since_start or 0.0, interval),
        sleep=activity.wait_for_cancelled_sync if activity.in_activity() else time.sleep,
        retry_error_callback=_nothing,
    )(probe)


def _nothing(_: RetryCallState) -> None:
    return None
