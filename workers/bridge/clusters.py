"""From ``Cluster`` resources to messages to their workflows: step 1 of the way of a change, again and again."""

import contextlib

import structlog

from api.conditions import ConditionType, Reason
from api.errors import ErrorCode
from contracts.workflows import ClusterInput
from workers.bridge.decisions import (
    Abandon,
    AddFinalizer,
    Apply,
    Delete,
    Operate,
    Refuse,
    Wish,
    accepted,
    decide,
    start_of,
)
from workers.bridge.endings import Endings
from workers.bridge.kit.conditions import condition_of
from workers.bridge.kit.kube import Json
from workers.bridge.kit.messages import NotRunningError, RefusedError, UnansweredError
from workers.bridge.kit.reflector import Key
from workers.bridge.kit.writer import key_of
from workers.bridge.looks import LOOK_S, Looks
from workers.bridge.operations import Operations
from workers.bridge.resources import Resources
from workers.bridge.workflows import ClusterWorkflows

PREDECESSOR_S = 5.0
"""When a name is tried again whose predecessor is still being deleted."""

log = structlog.get_logger(__name__)


class Clusters:
    """Brings what each ``Cluster`` resource says to its workflow."""

    def __init__(self, resources: Resources, workflows: ClusterWorkflows) -> None:
        self._resources = resources
        self._workflows = workflows
        self._looks = Looks(resources, workflows)
        self._operations = Operations(resources, workflows)
        self._endings = Endings(resources, workflows)

    async def reconcile(self, key: Key, resource: Json | None) -> float | None:
        """Do what is not done yet; returns when to look again, in seconds, None when there is no need to."""
        if resource is None:
            self._looks.forget(key)
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
        try:
            if isinstance(wish, Apply):
                return await self._apply(resource, wish.start)
            await self._pass_on(resource, wish)
            return await self._looks.look(resource) if self._may_live(resource) else None
        except NotRunningError:
            await self._revive(resource)
            return LOOK_S

    def _may_live(self, resource: Json) -> bool:
        """Say whether there may be a cluster that this resource stands for."""
        known = (resource.get("status") or {}).get("clusterId")
        return self._resources.is_held(resource) and bool(known)

    async def _pass_on(self, resource: Json, wish: Wish) -> None:
        match wish:
            case Refuse(reason=Reason.UNKNOWN_OPERATION):
                await self._operations.answer(resource, wish.reason, wish.message)
            case Refuse():
                await self._resources.accept(resource, "False", wish.reason, wish.message)
            case Delete(start=start):
                await self._endings.delete(resource, start)
            case Abandon():
                await self._endings.abandon(resource)
            case Operate():
                await self._operations.pass_on(resource, wish)

    async def _apply(self, resource: Json, start: ClusterInput) -> float | None:
        try:
            await self._workflows.apply(start)
        except RefusedError as error:
            await self._resources.accept(resource, "False", error.code or Reason.REFUSED, str(error))
            if error.code != ErrorCode.NAME_CONFLICT:
                return await self._looks.look(resource)
            # The other resource of the name may have gone unseen: its cluster is to find out.
            await self._workflows.ask_to_report(*key_of(resource))
            return PREDECESSOR_S
        message = f"generation {start.metadata.generation} is taken up"
        await self._resources.accept(resource, "True", Reason.ACCEPTED, message)
        return LOOK_S

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
            await self._endings.delete(now, start)
        else:
            log.warning("workflow does not run: it is started again", cluster=start.metadata.name)
            await self._apply(now, start)
