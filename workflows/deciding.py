"""The activities by which a ``Cluster`` finds out what to do: planning, and looking at its machines."""

import contextlib
from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

from api.errors import ErrorCode
from api.status import ErrorStatus, Phase
from contracts import activities as names
from contracts import queues
from contracts.machines import MachineObservations, MachinesReference, machine_names
from contracts.plan import Plan, PlanRequest
from contracts.repair import RepairDecision, RepairRequest
from workflows import policies
from workflows.entity import Entity, refusal
from workflows.failures import error_status


class GivenUpError(Exception):
    """Planning was given up, because the cluster is not wanted any more."""


class Deciding:
    """Decisions about one cluster; ``show`` publishes the entity's state, ``renew`` continues as new."""

    def __init__(self, entity: Entity, show: Callable[[], None], renew: Callable[[], Awaitable[None]]) -> None:
        """Decide nothing yet."""
        self._entity = entity
        self._show = show
        self._renew = renew

    async def plan(self, *, deleting: bool = False, undoing: bool = False, replace: str = "") -> Plan:
        """Return the plan of what is wanted, however often that has to be tried.

        Raises ``ApplicationError`` with the reason when there can be none, and ``GivenUpError`` when the cluster
        is not wanted any more meanwhile.
        """
        context = self._entity.context
        request = PlanRequest(
            namespace=context.namespace,
            name=context.name,
            cluster_id=context.cluster_id,
            spec=context.spec,
            deleting=deleting,
            undoing=undoing,
            replace=replace,
        )
        attempt = 0
        while True:
            attempt += 1
            try:
                plan: Plan = await workflow.execute_activity(
                    names.PLAN_OPERATION,
                    request,
                    result_type=Plan,
                    task_queue=queues.planning(context.spec.site),
                    start_to_close_timeout=policies.start_to_close(names.PLAN_OPERATION),
                    schedule_to_start_timeout=policies.QUEUE_TIMEOUT,
                    heartbeat_timeout=policies.HEARTBEAT_TIMEOUT,
                    retry_policy=policies.ONE_ATTEMPT,
                    summary="decide what to do",
                )
            except ActivityError as error:
                described = error_status(error)
                if not described.retryable:
                    raise refusal(ErrorCode(described.code), described.message) from error
                self.waits_on(described)
                await self._wait_to_plan_again(attempt, ends=deleting or undoing)
            else:
                return plan

    async def look(self, *, at_once: bool) -> Plan | None:
        """Look at the cluster's machines; return the repair that is due, None when none is.

        What can't be found out now is shown, and found out at the next look.
        """
        entity = self._entity
        entity.next_look = workflow.now() + policies.LOOK_INTERVAL
        try:
            decision = await self._decide_repair(at_once=at_once)
        except ActivityError as error:
            self.waits_on(error_status(error))
            return None
        if decision.message:
            entity.next_look = workflow.now() + policies.LOOK_AGAIN
        entity.unwell = decision.unwell
        entity.waiting_on = decision.message
        entity.phase = Phase.DEGRADED if decision.message else Phase.RUNNING
        self._show()
        return decision.plan

    def waits_on(self, error: ErrorStatus) -> None:
        """Show what the cluster waits for."""
        self._entity.waiting_on = f"{error.code}: {error.message}; {error.hint}"
        self._show()

    async def _decide_repair(self, *, at_once: bool) -> RepairDecision:
        context, wishes = self._entity.context, self._entity.wishes
        seen: MachineObservations = await workflow.execute_activity(
            names.OBSERVE_MACHINES,
            MachinesReference(cluster_id=context.cluster_id, names=machine_names(context.spec)),
            result_type=MachineObservations,
            task_queue=queues.provider(context.spec.site, context.spec.provider),
            start_to_close_timeout=policies.start_to_close(names.OBSERVE_MACHINES),
            schedule_to_start_timeout=policies.LOOK_QUEUE_TIMEOUT,
            heartbeat_timeout=policies.HEARTBEAT_TIMEOUT,
            retry_policy=policies.ONE_ATTEMPT,
            summary="look at machines",
        )
        if not self._entity.unwell and all(item.well for item in seen.items):
            return RepairDecision()
        decision: RepairDecision = await workflow.execute_activity(
            names.PLAN_REPAIR,
            RepairRequest(
                now=workflow.now(),
                spec=context.spec,
                observed=seen.items,
                unwell=self._entity.unwell,
                at_once=at_once,
                only_look=wishes.paused or wishes.cancel or wishes.delete,
            ),
            result_type=RepairDecision,
            task_queue=queues.planning(context.spec.site),
            start_to_close_timeout=policies.start_to_close(names.PLAN_REPAIR),
            schedule_to_start_timeout=policies.LOOK_QUEUE_TIMEOUT,
            heartbeat_timeout=policies.HEARTBEAT_TIMEOUT,
            retry_policy=policies.ONE_ATTEMPT,
            summary="decide on a repair",
        )
        return decision

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
