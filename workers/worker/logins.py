"""How long a worker's own logins last, as metrics: without them it renews nobody's certificates."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from temporalio.common import MetricMeter

from activities.vault.login import Login


class MeteredLogin(Login):
    """A login to Vault that tells of each task when its newest token ends, and how often it got none."""

    def __init__(self, login: Login, meter: MetricMeter) -> None:
        """Log in as ``login`` does."""
        self._login = login
        self._end = meter.create_gauge(
            "giantnetes_worker_vault_login_expire_timestamp_seconds",
            "When the newest token of a task's login to Vault ends. It is renewed when the task is next at work.",
        )
        self._failures = meter.create_counter(
            "giantnetes_worker_vault_login_failures", "Attempts of a task to log in to Vault that failed."
        )

    def log_in(self, vault: Any, task: str) -> Mapping[str, Any]:
        """Log in; returns and raises what the login does."""
        failed = 1
        try:
            auth = self._login.log_in(vault, task)
            failed = 0
        finally:
            # Also when it is none: a counter that isn't there yet can't be seen to grow.
            self._failures.add(failed, {"task": task})
        if lease := auth["lease_duration"]:
            self._end.set(int(time.time()) + lease, {"task": task})
        return auth


def host_login_end(meter: MetricMeter) -> Callable[[datetime], None]:
    """Return what is to be told when the client certificate ends with which the host cluster lets a worker in."""
    gauge = meter.create_gauge(
        "giantnetes_worker_host_login_expire_timestamp_seconds",
        "When the worker's client certificate for the host cluster ends.",
    )
    return lambda end: gauge.set(int(end.timestamp()))
