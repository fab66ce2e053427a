"""The activities by which a ``Cluster`` finds out what to do: planning, and looking at its machines."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

from api.errors import ErrorCode
from api.status import ErrorStatus, Phase
from contracts import activities as names
from contracts import queues
from contracts.context import Placements
from contracts.machines import (
    MachineObservation,
    MachineObservations,
    MachinesReference,
    has_hypervisors,
    machine_names,
)
from contracts.plan import Plan, PlanRequest
from contracts.repair import RepairDecision, RepairRequest
from workflows import policies
from workflows.asking import ask
from workflows.entity import Entity, refusal
from workflows.failures import error_status

SOON = policies.LOOK_QUEUE_TIMEOUT


class GivenUpError(Exception):
    """Planning was given up, because the cluster is not wanted any more."""


class Deciding:
    """Decisions about one cluster; ``show`` publishes the entity's state, ``renew`` continues as new."""

    def __init__(self, entity: Entity, show: Callable[[], None], renew: Callable[[], Awaitable[None]]) -> None:
        """Decide nothing yet."""
        self._entity = entity
        self._show = show
        self._renew = renew
        self._unseen: list[str] = []

    async def plan(
        self, *, deleting: bool = False, undoing: bool = False, replace: str = "", lost: bool = False
    ) -> Plan:
        """Return the plan of what is wanted, however often that has to be tried.

        Raises ``ApplicationError`` with the reason when there can be none, and ``GivenUpError`` when the cluster
        is not wanted any more meanwhile.
        """
        wanted = {"deleting": deleting, "undoing": undoing, "replace": replace, "lost": lost}
        return await self._plan(self._request().model_copy(update=wanted), ends=deleting or undoing)

    async def plan_rotation(self, *, all_due: bool) -> Plan:
        """Return the plan that renews certificates, those that are due or all of them; raises as ``plan`` does."""
        rotating = {"rotating": True, "all_due": all_due}
        entity = self._entity
        known = {"cluster": entity.context, "issued": entity.issued, "unrenewed": list(entity.unrenewed)}
        return await self._plan(self._request().model_copy(update=rotating | known), ends=False)

    def _request(self) -> PlanRequest:
        context = self._entity.context
        return PlanRequest(
            namespace=context.namespace,
            name=context.name,
            cluster_id=context.cluster_id,
            spec=context.spec,
            now=workflow.now(),
        )

    async def _plan(self, request: PlanRequest, *, ends: bool) -> Plan:
        planning = queues.planning(request.spec.site)
        attempt = 0
        while True:
            attempt += 1
            try:
                plan = await ask(names.PLAN_OPERATION, planning, request, Plan, "decide what to do")
            except ActivityError as error:
                described = error_status(error, planning)
                if not described.retryable:
                    raise refusal(ErrorCode(described.code), described.message) from error
                self.waits_on(described)
                await self._wait_to_plan_again(attempt, ends=ends)
            else:
                return plan

    async def look(self, *, at_once: bool) -> Plan | None:
        """Look at the cluster's machines; return the repair that is due, None when none is.

        What can't be found out now is shown, and found out at the next look.
        """
        entity = self._entity
        entity.next_look = workflow.now() + policies.LOOK_INTERVAL
        try:
            await self._locate()
            decision = await self._decide_repair(at_once=at_once)
        except ActivityError as error:
            if has_hypervisors(entity.context.spec.provider):
                entity.phase = Phase.DEGRADED
                entity.next_look = workflow.now() + policies.LOOK_AGAIN
            self.waits_on(error_status(error))
            return None
        if decision.message or self._unseen:
            entity.next_look = workflow.now() + policies.LOOK_AGAIN
        entity.unwell = decision.unwell
        entity.waiting_on = "; ".join(text for text in (decision.message, *self._unseen) if text)
        entity.phase = Phase.DEGRADED if entity.waiting_on else Phase.RUNNING
        self._show()
        return decision.plan

    def waits_on(self, error: ErrorStatus) -> None:
        """Show what the cluster waits for."""
        self._entity.waiting_on = f"{error.code}: {error.message}; {error.hint}"
        self._show()

    async def _locate(self) -> None:
        """Find where machines are now: an operation that failed may have moved one all the same."""
        context = self._entity.context
        if not has_hypervisors(context.spec.provider):
            return
        vault = queues.vault(context.spec.site)
        found = await ask(
            names.FIND_PLACEMENTS, vault, context, Placements, "find where machines are", taken_within=SOON
        )
        self._entity.context = context.model_copy(update={"placements": found})

    async def _decide_repair(self, *, at_once: bool) -> RepairDecision:
        context, wishes = self._entity.context, self._entity.wishes
        seen = await self._observe()
        if not self._entity.unwell and all(item.well for item in seen):
            return RepairDecision()
        request = RepairRequest(
            now=workflow.now(),
            spec=context.spec,
            observed=seen,
            unwell=self._entity.unwell,
            at_once=at_once,
            only_look=wishes.paused or wishes.cancel or wishes.delete,
        )
        planning = queues.planning(context.spec.site)
        return await ask(
            names.PLAN_REPAIR, planning, request, RepairDecision, "decide on a repair", taken_within=SOON
        )

    async def _observe(self) -> list[MachineObservation]:
        """Look at machines, on all hypervisors at once: one that is silent hides none of the others.

        Raises ``ActivityError`` when nothing can be seen.
        """
        looks: dict[str, list[str]] = {}
        for name in machine_names(self._entity.context.spec):
            looks.setdefault(queues.machine(self._entity.context, name), []).append(name)
        ended = await asyncio.gather(
            *(self._observe_some(queue, machines) for queue, machines in looks.items()), return_exceptions=True
        )
        broken = [result for result in ended if isinstance(result, BaseException)]
        for error in broken:
            if not isinstance(error, ActivityError) or len(looks) == 1:
                raise error
        self._unseen = [
            error_status(result, queue).message
            for queue, result in zip(looks, ended, strict=True)
            if isinstance(result, ActivityError)
        ]
        seen = [result for result in ended if not isinstance(result, BaseException)]
        return [item for some in seen for item in some.items]

    async def _observe_some(self, queue: str, machines: list[str]) -> MachineObservations:
        reference = MachinesReference(cluster_id=self._entity.context.cluster_id, names=machines)
        return await ask(
            names.OBSERVE_MACHINES, queue, reference, MachineObservations, "look at machines", taken_within=SOON
        )

    async def _wait_to_plan_again(self, attempt: int, *, ends: bool) -> None:
        """Wait for the next attempt; unless the cluster ends, a wish to end it raises ``GivenUpError``."""
        wishes = self._entity.wishes
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: wishes.retry or (not ends and (wishes.delete or wishes.cancel)),
                timeout=policies.backoff(attempt),
                timeout_summary="plan again",
            )
        wishes.retry = False
        if not ends and (wishes.delete or wishes.cancel):
            raise GivenUpError
        if workflow.info().is_continue_as_new_suggested() and workflow.patched("renew-planning"):
            await self._renew()
