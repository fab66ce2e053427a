"""When a cluster's certificates are renewed, and whether its clients use the new ones: the entity's part of it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from contracts import activities as names
from contracts import queues
from contracts.machines import CredentialsRequest, CredentialsSeen, slot_names
from contracts.plan import Plan
from contracts.workflows import OperationResult
from workflows import policies
from workflows.asking import ask
from workflows.entity import Entity


class Rotation:
    """The clock of one cluster's rotations. What is due is decided by planning; this tells when to ask."""

    def __init__(self, entity: Entity, show: Callable[[], None]) -> None:
        """Wait for nothing yet; ``show`` publishes the entity's state."""
        self._entity = entity
        self._show = show
        self._timer: asyncio.Task[None] | None = None
        self._timed = entity.rotate_at

    def is_due(self) -> bool:
        """Whether certificates are to be renewed now: their time has come, or somebody asked for it."""
        entity = self._entity
        if not entity.created or entity.wishes.paused or entity.wishes.cancel:
            return False
        return entity.wishes.rotate or entity.rotate_at is None or workflow.now() >= entity.rotate_at

    def set_timer(self) -> None:
        """Have the Web UI show, by a timer of its own, when certificates are due."""
        at = self._entity.rotate_at
        if self._timer is not None and at == self._timed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timed = at
        if at is not None:
            wait = max(at - workflow.now(), timedelta(0))
            self._timer = asyncio.create_task(
                workflow.sleep(wait, summary=f"rotate certificates, {at:%d %b %H:%M} UTC")
            )

    def planned(self, plan: Plan) -> None:
        """Take from a plan when certificates are due next; a planner that doesn't tell is asked again later."""
        self._entity.rotate_at = plan.rotate_at or workflow.now() + policies.ROTATE_AGAIN

    def put_off(self) -> None:
        """Ask planning again later, which had no answer."""
        self._entity.rotate_at = workflow.now() + policies.ROTATE_AGAIN

    def ended(self, result: OperationResult | None) -> None:
        """Take what a rotation came to: what could not be renewed is tried again soon."""
        entity = self._entity
        if result:
            entity.take(result)
            entity.unrenewed = dict(result.unrenewed)
        if entity.rotate_at is not None and (not result or result.unrenewed):
            entity.rotate_at = min(entity.rotate_at, workflow.now() + policies.ROTATE_AGAIN)

    async def look_at_clients(self) -> None:
        """See which clients have used their new certificates; who doesn't tell is asked at the next look."""
        entity = self._entity
        for slot in slot_names(entity.context.spec) if entity.awaited else ():
            for credential in await self._seen_at(slot):
                entity.awaited.pop(credential, None)
        since = workflow.now() - policies.CLIENTS_PATIENCE
        stale = sorted(f"{each.name} of {each.machine}" for each in entity.awaited.values() if each.since < since)
        if stale != entity.stale_clients:
            entity.stale_clients = stale
            self._show()

    async def _seen_at(self, slot: str) -> list[str]:
        context = self._entity.context
        wanted = list(self._entity.awaited)
        request = CredentialsRequest(cluster_id=context.cluster_id, machine=slot, credentials=wanted)
        summary = f"see which clients use their new certificates: {slot}"
        queue, soon = queues.machine(context, slot), policies.LOOK_QUEUE_TIMEOUT
        try:
            seen = await ask(names.FIND_CREDENTIALS, queue, request, CredentialsSeen, summary, taken_within=soon)
        except ActivityError:
            return []
        return seen.credentials
