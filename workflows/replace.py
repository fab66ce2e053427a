"""ReplaceMachine, and RepairMachine on top of it: one machine of a living cluster, by walking a plan.

A machine that takes over a slot's volume is made only after the provider has seen the old one destroyed: the
plan's steps follow each other, and a step that didn't succeed is never passed over.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import Placements
from contracts.guest import GuestReport, GuestRequest
from contracts.hypervisors import PlaceRequest
from contracts.machines import MachineObservations, MachinesReference, MachineState
from contracts.plan import Step, StepKind
from contracts.workflows import REPAIR_MACHINE, REPLACE_MACHINE, OperationInput, OperationResult
from workflows import policies
from workflows.failures import error_status, is_cancelled
from workflows.machines import MachineSteps

UNDO_TRIES = RetryPolicy(maximum_attempts=3)


class _OneMachine(MachineSteps):
    @workflow.init
    def __init__(self, start: OperationInput | None = None) -> None:
        super().__init__(start)
        self._cordoned: Step | None = None

    async def _walk(self) -> OperationResult:
        try:
            await self._operation.walk(self._runners())
        except ApplicationError:
            await self._give_back()
            raise
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is not None:
                await self._give_back()
            raise
        return self._result(self._plan.reason)

    def _runners(self) -> dict[StepKind, Callable[[Step], Awaitable[None]]]:
        return {
            StepKind.LOCATE: self._locate,
            StepKind.ROOM: self._room,
            StepKind.DRAIN: self._drain,
            StepKind.AUTHORITIES: self._authorities,
            StepKind.FENCE: self._machine(names.FENCE_MACHINE),
            StepKind.REMOVE_MACHINE: self._machine(names.DELETE_MACHINE),
            StepKind.PLACE: self._place,
            StepKind.NETWORK: self._network,
            StepKind.BOOT: self._boot,
            StepKind.CERTIFY: self._certify,
            StepKind.API: self._guest(names.AWAIT_API),
            StepKind.REJOIN: self._guest(names.AWAIT_NODES, anew=True),
            StepKind.UNCORDON: self._uncordon,
        }

    async def _room(self, step: Step) -> None:
        """See that the new machine finds a hypervisor, before anything is done to the old one."""
        request = PlaceRequest(cluster=self._cluster, machines=self._machines(step), moving=True, only_look=True)
        await self._operation.call(step, names.PLACE_MACHINES, self._vault, request, Placements)

    async def _drain(self, step: Step) -> None:
        """Move pods away, if there is a way: a dead API and pods that won't go don't keep the machine."""
        self._cordoned = step
        try:
            await self._guest(names.DRAIN_NODE)(step)
        except ActivityError as error:
            described = error_status(error)
            if is_cancelled(error) or described.code not in {ErrorCode.API_NOT_READY, ErrorCode.NODE_NOT_DRAINED}:
                raise
            workflow.logger.warning("not drained", extra={"error": described.message})

    async def _uncordon(self, step: Step) -> None:
        await self._guest(names.UNCORDON_NODE)(step)
        self._cordoned = None

    def _machine(self, activity: str) -> Callable[[Step], Awaitable[None]]:
        async def run(step: Step) -> None:
            for machine in self._machines(step):
                if self._cluster.placements.is_lost(machine.name):  # gone already, by an operator's word
                    self._unremoved = True
                else:
                    await self._power_off(step, activity, machine.name)

        return run

    async def _power_off(self, step: Step, activity: str, machine: str) -> None:
        """Fence or remove a machine."""
        reference = MachinesReference(cluster_id=self._cluster.cluster_id, names=[machine])
        if workflow.patched("remove-what-was-seen"):
            reference = await self._seen(step, reference)
        await self._operation.call(step, activity, self._queue(machine), reference, type(None))

    async def _seen(self, step: Step, reference: MachinesReference) -> MachinesReference:
        """Name the instances that there are now, so that an attempt that comes late harms none that follows.

        A machine that can't be told from others is meant as it is: one that hangs is to be fenced all the more.
        One that is well is given the time to end by itself.
        """
        seen = await self._operation.call(
            step, names.OBSERVE_MACHINES, self._queue(reference.names[0]), reference, MachineObservations
        )
        known = {
            item.name: item.instance_id
            for item in seen.items
            if item.instance_id or item.state is MachineState.ABSENT
        }
        graceful = all(item.well for item in seen.items)
        return reference.model_copy(update={"instances": known, "graceful": graceful})

    async def _give_back(self) -> None:
        """Let pods onto the node again, whatever came of the operation. Tried few times: a cancel waits for it."""
        if self._cordoned is None:
            return
        request = GuestRequest(cluster=self._cluster, machines=self._machines(self._cordoned))
        with contextlib.suppress(ActivityError):
            await workflow.execute_activity(
                names.UNCORDON_NODE,
                request,
                result_type=GuestReport,
                task_queue=self._kubernetes,
                start_to_close_timeout=policies.start_to_close(names.UNCORDON_NODE),
                schedule_to_start_timeout=policies.QUEUE_TIMEOUT,
                heartbeat_timeout=policies.HEARTBEAT_TIMEOUT,
                retry_policy=UNDO_TRIES,
                summary="undo: let pods onto the node again",
            )


@workflow.defn(name=REPLACE_MACHINE)
class ReplaceMachineWorkflow(_OneMachine):
    """One machine replaced because somebody asked for it."""

    @workflow.run
    async def run(self, start: OperationInput | None = None) -> OperationResult:
        """Walk the plan to its end, when the new machine does the old one's work."""
        del start
        return await self._walk()


@workflow.defn(name=REPAIR_MACHINE)
class RepairMachineWorkflow(_OneMachine):
    """One machine restarted or replaced because it was seen not to be well."""

    @workflow.run
    async def run(self, start: OperationInput | None = None) -> OperationResult:
        """Walk the plan to its end, when the machine does its work again."""
        del start
        return await self._walk()
