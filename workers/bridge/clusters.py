"""From ``Cluster`` resources to messages to their workflows: step 1 of the way of a change, again and again."""

import contextlib
import hashlib
import time
from datetime import UTC, datetime, timedelta

import structlog

from api.conditions import ConditionType, Reason
from api.errors import ErrorCode
from api.resource import FINALIZER, OPERATION
from contracts.workflows import ClusterInput
from workers.bridge.decisions import (
    Abandon,
    AddFinalizer,
    Apply,
    Delete,
    Json,
    Operate,
    Refuse,
    Wish,
    accepted,
    asker,
    condition_of,
    decide,
    start_of,
)
from workers.bridge.kit.reflector import Key
from workers.bridge.resources import Resources, key_of
from workers.bridge.workflows import ClusterWorkflows, NotRunningError, RefusedError, Sign, UnansweredError

SILENCE = timedelta(seconds=90)
"""How long a cluster's probe may be silent: three looks at its API."""

LOOK_S = 60.0
"""How often Temporal is asked about a cluster that has no probe."""

SOONEST_S = 10.0

PREDECESSOR_S = 5.0
"""When a name is tried again whose predecessor is still being deleted."""

log = structlog.get_logger(__name__)


class Clusters:
    """Brings what each ``Cluster`` resource says to its workflow; keeps nothing but when it looks again."""

    def __init__(self, resources: Resources, workflows: ClusterWorkflows) -> None:
        self._resources = resources
        self._workflows = workflows
        self._due: dict[Key, float] = {}

    async def reconcile(self, key: Key, resource: Json | None) -> float | None:
        """Do what is not done yet; returns when to look again, in seconds, None when there is no need to."""
        if resource is None:
            self._due.pop(key, None)
            # One whose finalizer was taken away by hand leaves its cluster behind, which is to know.
            with contextlib.suppress(NotRunningError):
                await self._workflows.ask_to_report(*key)
            return None
        try:
            return await self._act(resource)
        except UnansweredError as error:
            if not accepted(resource):
                message = f"{error}; it is tried again by itself"
                await self._resources.accept(resource, "Unknown", Reason.CANNOT_START, message)
            raise

    async def _act(self, resource: Json) -> float | None:
        wish = decide(resource)
        if isinstance(wish, AddFinalizer):
            return await self._act(await self._resources.hold(resource))
        if isinstance(wish, Apply):
            return await self._apply(resource, wish.start)
        if isinstance(wish, Refuse):
            await self._refuse(resource, wish)
        else:
            await self._pass_on(resource, wish)
        return await self._look(resource) if _may_live(resource) else None

    async def _refuse(self, resource: Json, wish: Refuse) -> None:
        if wish.reason is Reason.UNKNOWN_OPERATION:
            await self._answer(resource, wish.reason, wish.message)
        else:
            await self._resources.accept(resource, "False", wish.reason, wish.message)

    async def _pass_on(self, resource: Json, wish: Wish) -> None:
        match wish:
            case Delete(start=start):
                await self._delete(resource, start)
            case Abandon():
                await self._abandon(resource)
            case Operate():
                await self._operate(resource, wish)

    async def _apply(self, resource: Json, start: ClusterInput) -> float | None:
        try:
            await self._workflows.apply(start)
        except RefusedError as error:
            await self._resources.accept(resource, "False", error.code or Reason.REFUSED, str(error))
            if error.code != ErrorCode.NAME_CONFLICT:
                return await self._look(resource)
            # The other resource of the name may have gone unseen: its cluster is to find out.
            await self._workflows.ask_to_report(*key_of(resource))
            return PREDECESSOR_S
        message = f"generation {start.metadata.generation} is taken up"
        await self._resources.accept(resource, "True", Reason.ACCEPTED, message)
        return LOOK_S

    async def _delete(self, resource: Json, start: ClusterInput | None) -> None:
        namespace, name = key_of(resource)
        try:
            if start:
                await self._workflows.delete(start)
            else:
                uid = resource["metadata"]["uid"]
                await self._workflows.update(namespace, name, "delete", asker=asker(resource), uid=uid)
        except NotRunningError:
            if (resource.get("status") or {}).get("clusterId"):
                message = "its workflow has ended, and can't be started with this spec: correct the spec"
                await self._resources.accept(resource, "False", Reason.CANNOT_START, message)
            else:
                await self._resources.release(resource)
        except RefusedError as error:
            await self._release_or_tell(resource, error)
        else:
            await self._resources.accept(resource, "True", Reason.ACCEPTED, "the deletion is taken up")

    async def _abandon(self, resource: Json) -> None:
        (namespace, name), uid = key_of(resource), resource["metadata"]["uid"]
        try:
            await self._workflows.update(
                namespace, name, "abandon", asker=asker(resource), uid=uid, once=f"abandon/{uid}"
            )
        except NotRunningError:
            log.warning("abandoned without a workflow", cluster=name, namespace=namespace)
            await self._resources.release(resource)
        except RefusedError as error:
            await self._release_or_tell(resource, error)

    async def _release_or_tell(self, resource: Json, error: RefusedError) -> None:
        """Let a resource go that no cluster is of: its own spec was never taken up. Else say why it stays."""
        if error.code == ErrorCode.NAME_CONFLICT:
            await self._resources.release(resource)
        else:
            await self._resources.accept(resource, "False", error.code or Reason.REFUSED, str(error))

    async def _operate(self, resource: Json, wanted: Operate) -> None:
        namespace, name = key_of(resource)
        try:
            answer = await self._workflows.update(
                namespace,
                name,
                wanted.update,
                asker=asker(resource),
                uid=resource["metadata"]["uid"],
                machine=wanted.machine,
                once=_once(resource, wanted),
            )
        except RefusedError as error:
            await self._answer(resource, Reason.REFUSED, str(error))
        except NotRunningError:
            await self._revive(resource)
        else:
            await self._answer(resource, Reason.ACCEPTED, answer.message)

    async def _answer(self, resource: Json, reason: Reason, message: str) -> None:
        """Answer an operation in the condition of the spec, which it doesn't change; then take it up."""
        operation = resource["metadata"]["annotations"][OPERATION]
        status = condition_of(resource, ConditionType.ACCEPTED).get("status", "True")
        await self._resources.accept(resource, status, reason, f"{operation[:100]}: {message}")
        await self._resources.take_up(key_of(resource), operation)

    async def _look(self, resource: Json) -> float:
        """Ask Temporal about a cluster, if it is time to; returns when it is the next time."""
        key = key_of(resource)
        wait = self._due.get(key, 0) - time.monotonic()
        if wait > 0:
            return wait
        sign = await self._workflows.sign(*key)
        if sign.running:
            await self._compare(resource, sign)
        else:
            await self._revive(resource)
        wait = LOOK_S
        if sign.heard_at:
            wait = max(SOONEST_S, (sign.heard_at + SILENCE - datetime.now(UTC)).total_seconds())
        self._due[key] = time.monotonic() + wait
        return wait

    async def _compare(self, resource: Json, sign: Sign) -> None:
        """Doubt what was reported when nothing is heard any more, and have it reported again when it is."""
        silent = sign.heard_at is not None and datetime.now(UTC) - sign.heard_at > SILENCE
        doubted = condition_of(resource, ConditionType.AVAILABLE).get("reason") == Reason.NOT_REPORTED
        if silent and not doubted:
            message = f"nothing is heard of its API since {sign.heard_at:%Y-%m-%dT%H:%M:%SZ}: look at the workers"
            await self._resources.doubt(resource, message)
        elif doubted and not silent:
            await self._workflows.ask_to_report(*key_of(resource))

    async def _revive(self, resource: Json) -> None:
        """Start the workflow of a resource again, which adopts what there is of its cluster.

        The resource is read first: one that was just deleted with its cluster must not have it created anew.
        """
        now = await self._resources.read(key_of(resource))
        if now is None or now["metadata"]["uid"] != resource["metadata"]["uid"]:
            return
        start = start_of(now)
        if isinstance(start, Refuse):
            message = f"its workflow has ended, and can't be started: {start.message}"
            await self._resources.accept(now, "False", Reason.CANNOT_START, message)
        elif condition_of(now, ConditionType.DELETING).get("status") == "True":
            await self._delete(now, start)
        else:
            log.warning("workflow does not run: it is started again", cluster=start.metadata.name)
            await self._apply(now, start)


def _may_live(resource: Json) -> bool:
    """Say whether there may be a cluster that this resource stands for."""
    held = FINALIZER in (resource["metadata"].get("finalizers") or [])
    return held and bool((resource.get("status") or {}).get("clusterId"))


def _once(resource: Json, wanted: Operate) -> str:
    """Return an id for what an annotation asks for: another one when it is asked for again."""
    metadata = resource["metadata"]
    times = [
        entry.get("time", "")
        for entry in metadata.get("managedFields") or []
        if f"f:{OPERATION}" in entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:annotations", {})
    ]
    told = "/".join([metadata["uid"], wanted.annotation, *times])
    return hashlib.sha256(told.encode()).hexdigest()[:32]
