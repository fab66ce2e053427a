"""How long an activity may take, and when it is tried again: one table for all workflows."""

from datetime import timedelta

from temporalio.common import RetryPolicy

from contracts import activities as names

HEARTBEAT_TIMEOUT = timedelta(seconds=5)
"""Every activity heartbeats by itself (``workers.worker.interceptors``), so a killed worker is noticed soon."""

QUEUE_TIMEOUT = timedelta(minutes=2)
"""A queue that nobody polls is an error with a name after this time, not a silent wait."""

LOST_REQUEST = timedelta(seconds=1)
"""Longest time after which a request whose sender died can still take effect, between processes of one host."""

ONE_ATTEMPT = RetryPolicy(maximum_attempts=1)
"""The workflow itself tries again, so that attempt, error and next retry are seen in its details."""

_DEFAULT = timedelta(seconds=30)
_LONGER = {
    names.BOOT_MACHINE: timedelta(minutes=2),
    names.INSTALL_MACHINE: timedelta(minutes=1),
    names.DELETE_MACHINES: timedelta(minutes=2),
    names.AWAIT_API: timedelta(minutes=3),
    names.AWAIT_NODES: timedelta(minutes=3),
    names.VERIFY_CLUSTER: timedelta(minutes=3),
}


def start_to_close(activity: str) -> timedelta:
    """Return how long one attempt of an activity may take."""
    return _LONGER.get(activity, _DEFAULT)


def backoff(attempt: int) -> timedelta:
    """Return how long to wait after failed attempt number ``attempt`` (from 1).

    Doubles from half a second to a minute; after twenty attempts five minutes. Each attempt is some six events
    of a history that Temporal bounds at 51,200: docs/limits.md says how long operations can wait.
    """
    if attempt > 20:
        return timedelta(minutes=5)
    return timedelta(seconds=min(0.5 * 2 ** (attempt - 1), 60))
