"""Asking Temporal, now and then, whether what is to report on a cluster still does."""

import time
from datetime import UTC, datetime, timedelta

from api.conditions import ConditionType, Reason
from workers.bridge.kit.conditions import condition_of
from workers.bridge.kit.kube import Json
from workers.bridge.kit.messages import NotRunningError, UnansweredError
from workers.bridge.kit.reflector import Key
from workers.bridge.kit.writer import key_of
from workers.bridge.resources import Resources
from workers.bridge.workflows import ClusterWorkflows, Sign

SILENCE = timedelta(seconds=90)
"""How long a cluster's probe, its reports or Temporal may be silent: three looks at its API."""

LOOK_S = 60.0
"""How often Temporal is asked about a cluster that has no probe."""

SOONEST_S = 10.0


class Looks:
    """Looks at clusters' workflows; keeps nothing but when it looks again, and when Temporal answered last."""

    def __init__(self, resources: Resources, workflows: ClusterWorkflows) -> None:
        self._resources = resources
        self._workflows = workflows
        self._due: dict[Key, float] = {}
        self._answered_at = datetime.now(UTC)

    def forget(self, key: Key) -> None:
        """Forget a resource that is gone."""
        self._due.pop(key, None)

    async def look(self, resource: Json) -> float:
        """Look at a cluster, if it is time to; returns when it is the next time, in seconds.

        Raises ``NotRunningError`` when its workflow doesn't run, ``UnansweredError`` when nobody can tell.
        """
        key = key_of(resource)
        wait = self._due.get(key, 0) - time.monotonic()
        if wait > 0:
            return wait
        sign = await self._sign(resource)
        wait = LOOK_S
        if sign.heard_at:
            wait = max(SOONEST_S, (sign.heard_at + SILENCE - datetime.now(UTC)).total_seconds())
        if not sign.running:
            raise NotRunningError(f"the workflow of {'/'.join(key)} does not run")
        await self._compare(resource, sign)
        # Only now: what could not be done is tried again soon, which a look that isn't due yet would put off.
        self._due[key] = time.monotonic() + wait
        return wait

    async def _sign(self, resource: Json) -> Sign:
        try:
            sign = await self._workflows.sign(*key_of(resource))
        except UnansweredError as error:
            if datetime.now(UTC) - self._answered_at > SILENCE:
                await self._doubt(resource, f"{error}; last heard of at {self._answered_at:%Y-%m-%dT%H:%M:%SZ}")
            raise
        self._answered_at = datetime.now(UTC)
        return sign

    async def _compare(self, resource: Json, sign: Sign) -> None:
        """Doubt what was reported when nothing is heard any more, and have it reported again when it is."""
        silent = sign.heard_at is not None and datetime.now(UTC) - sign.heard_at > SILENCE
        if silent:
            message = f"nothing is heard of its API since {sign.heard_at:%Y-%m-%dT%H:%M:%SZ}: look at the workers"
            await self._doubt(resource, message)
        elif _is_doubted(resource):
            await self._workflows.ask_to_report(*key_of(resource))

    async def _doubt(self, resource: Json, message: str) -> None:
        if not _is_doubted(resource):
            await self._resources.doubt(resource, message)


def _is_doubted(resource: Json) -> bool:
    return condition_of(resource, ConditionType.AVAILABLE).get("reason") == Reason.NOT_REPORTED
