"""How long an activity may take, and when it is tried again: one table for all workflows."""

from datetime import timedelta

from temporalio.common import Priority, RetryPolicy

from api.errors import ErrorCode
from contracts import activities as names

BEHIND = Priority(priority_key=5)
"""Operations, with their activities, give way to what people wait for: messages to clusters, and reports of them.

Temporal hands out the tasks of a queue in this order (Temporal: Task Queue Priority); 3 is what others have.
"""

HEARTBEAT_TIMEOUT = timedelta(seconds=5)
"""Every activity heartbeats by itself (``workers.worker.interceptors``), so a killed worker is noticed soon."""

QUEUE_TIMEOUT = timedelta(minutes=2)
"""A queue that nobody polls is an error with a name after this time, not a silent wait."""

LOOK_INTERVAL = timedelta(minutes=2)
"""How often a cluster that nothing is done to looks at its machines."""

LOOK_AGAIN = timedelta(seconds=30)
"""When it looks again after it saw one that is not well, or repaired one."""

LOOK_QUEUE_TIMEOUT = timedelta(seconds=30)
"""A look that nobody takes is given up soon: messages to the cluster wait for its end."""

REPORT_INTERVAL = timedelta(seconds=1)
"""How far apart the reports to a cluster's resource are, at least."""

ABANDON_ATTEMPTS = 3
"""To let a resource go whose cluster lives on: people are waiting for the answer."""

KEPT_EVENTS = 20
"""Events that wait for the host cluster while it is away; the oldest are forgotten."""

PROBE_TIMEOUT = timedelta(hours=24)
"""A probe of an API that doesn't change is begun anew that often, without a word in the history."""

PROBE_HEARTBEAT_TIMEOUT = timedelta(seconds=75)
"""Two looks and some: a probe whose worker is gone is taken over by another one."""

RENEWAL_TRIES = 6
"""How often a machine is asked to renew its certificates, before it is left to a later rotation."""

VAULT_AWAY = frozenset({ErrorCode.VAULT_SEALED, ErrorCode.VAULT_UNAVAILABLE, ErrorCode.VAULT_DENIED})

ROTATE_AGAIN = timedelta(hours=1)
"""When certificates are renewed again that could not be."""

CLIENTS_PATIENCE = timedelta(minutes=11)
"""How long a client may use its old certificate: client-go reads its files every 5 minutes, and may fail once."""

LOST_REQUEST = timedelta(seconds=1)
"""Longest time after which a request whose sender died can still take effect, between processes of one host."""

UNANSWERED = {ErrorCode.WORKER_MISSING: 1, ErrorCode.PROVIDER_UNAVAILABLE: 8}
"""After how many failures a hypervisor is taken for silent: either is two minutes."""

ONE_ATTEMPT = RetryPolicy(maximum_attempts=1)
"""The workflow itself tries again, so that attempt, error and next retry are seen in its details."""

_DEFAULT = timedelta(seconds=30)
# Longer than what an activity itself waits for, a lock or a command: it has the better words for what is late.
_LONGER = {
    names.BOOT_MACHINE: timedelta(minutes=10),
    names.INSTALL_MACHINE: timedelta(minutes=4),
    names.RENEW_KEYS: timedelta(minutes=2),
    names.FIND_CREDENTIALS: timedelta(minutes=2),
    names.CHECK_HYPERVISOR: timedelta(minutes=3),
    names.ENSURE_NETWORK: timedelta(minutes=3),
    names.ENSURE_ENDPOINT: timedelta(minutes=1),
    names.DELETE_MACHINES: timedelta(minutes=5),
    names.FENCE_MACHINE: timedelta(minutes=4),
    names.DELETE_MACHINE: timedelta(minutes=4),
    names.OBSERVE_MACHINES: timedelta(minutes=3),
    names.DRAIN_NODE: timedelta(minutes=3),
    names.ENSURE_ACCESS: timedelta(minutes=2),
    names.ENSURE_ADDONS: timedelta(minutes=2),
    names.AWAIT_API: timedelta(minutes=3),
    names.AWAIT_NODES: timedelta(minutes=3),
    names.VERIFY_CLUSTER: timedelta(minutes=3),
    names.VERIFY_SERVING: timedelta(minutes=2),
}


def start_to_close(activity: str) -> timedelta:
    """Return how long one attempt of an activity may take."""
    return _LONGER.get(activity, _DEFAULT)


def report_interval(age: timedelta) -> timedelta:
    """Return how far apart the reports are of an operation that nobody has spoken to for ``age``.

    None in the first minute, then longer and longer, an hour after sixty: a month of failures is 2,000 reports.
    """
    if age < timedelta(minutes=1):
        return timedelta(0)
    if age < timedelta(hours=1):
        return timedelta(seconds=1 if age < timedelta(minutes=10) else 5)
    return min(age / 60, timedelta(hours=1))


def backoff(attempt: int) -> timedelta:
    """Return how long to wait after failed attempt number ``attempt`` (from 1).

    Doubles from half a second to a minute; after twenty attempts five minutes. Each attempt is some six events
    of a history that Temporal bounds at 51,200: docs/limits.md says how long operations can wait.
    """
    if attempt > 20:
        return timedelta(minutes=5)
    return timedelta(seconds=min(0.5 * 2 ** (attempt - 1), 60))
