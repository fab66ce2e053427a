"""Cluster: the entity workflow of one guest cluster.

Handlers only validate and record; one loop acts, so that nothing overlaps and no lock is needed. Operations
are child workflows. The entity continues as new only while it is idle, never with a child or handler open.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ApplicationError, ChildWorkflowError

from api.errors import ErrorCode
from api.status import ClusterStatus, OperationStatus, Phase, StepState
from contracts.context import ClusterContext
from contracts.machines import machine_names
from contracts.plan import Plan
from contracts.workflows import (
    CLUSTER,
    CLUSTER_CREATED,
    CLUSTER_NAME,
    CLUSTER_OWNER,
    CLUSTER_PHASE,
    CLUSTER_PROVIDER,
    CLUSTER_RELEASE,
    CREATE_CLUSTER,
    DELETE_CLUSTER,
    REPLACE_MACHINE,
    ROTATE_CERTIFICATES,
    ClusterInput,
    MoveMachine,
    OperationInput,
    OperationResult,
    proposed_id,
    workflow_id,
)
from workflows import policies
from workflows.checklist import cluster_details
from workflows.children import Child, operation_id
from workflows.deciding import Deciding, GivenUpError
from workflows.entity import CANCEL, RETRY, new_entity, refusal
from workflows.failures import error_status, is_cancelled
from workflows.progress import is_news
from workflows.reporting import Reporting
from workflows.rotation import Rotation
from workflows.updates import Updates


@workflow.defn(name=CLUSTER)
class ClusterWorkflow(Updates):
    """One cluster, from its first wish to its end."""

    @workflow.init
    def __init__(self, start: ClusterInput | None = None) -> None:
        """Take the resource; its messages may arrive before ``run`` does.

        A start without input must come this far: without the default it would fail its task for ever, not the run.
        """
        if not isinstance(start, ClusterInput):
            raise refusal(ErrorCode.INVALID_SPEC, "input: none was given; it is a Cluster, see deploy/examples")
        uid = start.metadata.uid or str(workflow.uuid4())
        proposed = proposed_id(start.metadata.namespace, start.metadata.name, uid)
        self._entity = new_entity(start, proposed, workflow.now())
        self._reporting = Reporting(self._entity)
        self._deciding = Deciding(self._entity, self._show, self._continue_as_new)
        self._rotation = Rotation(self._entity, self._show)
        self._rotates = False
        self._child: Child | None = None
        self._start = start

    @workflow.run
    async def run(self, start: ClusterInput | None = None) -> str:
        """Live until the cluster is deleted; returns one sentence about the end."""
        del start
        expected = workflow_id(self._entity.context.namespace, self._entity.context.name)
        if workflow.info().workflow_id != expected:
            raise refusal(ErrorCode.INVALID_SPEC, f"metadata: this cluster's workflow id must be {expected}")
        if self._start.carried and not workflow.info().continued_run_id:
            raise refusal(ErrorCode.INVALID_SPEC, "carried: only the workflow itself sets it; start without it")
        loop = asyncio.create_task(self._loop())
        try:
            return await asyncio.shield(loop)
        except asyncio.CancelledError:
            # A run is cancelled by a request or, with no reason given, because a worker evicts it.
            if loop.done() or workflow.cancellation_reason() is None:
                raise
            self._entity.wishes.cancel = self._entity.wishes.cancelled_from_outside = True
        return await loop

    async def _loop(self) -> str:
        self._rotates = workflow.patched("certificates-are-rotated")
        self._reporting.begin()
        self._show()
        while True:
            entity = self._entity
            if entity.wishes.delete:
                return await self._delete()
            if entity.wishes.cancel and not entity.created:
                if await self._undo():
                    return "the create was undone; nothing is left"
            elif not entity.created and entity.phase is not Phase.FAILED:
                await self._create()
            elif entity.created and entity.wishes.replace and not entity.wishes.cancel:
                await self._replace(entity.wishes.replace[0])
            elif self._is_rotation_due():
                await self._rotate()
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Idle until somebody wants something; continue as new when it is time to, or a cancel was used up."""
        wishes = self._entity.wishes
        if wishes.cancel:
            wishes.cancel = False
            wishes.forget_replacements()
            self._entity.waiting_on = ""
        self._show()
        looks = self._entity.created and workflow.patched("look-at-machines")
        try:
            if self._rotates and self._entity.created:
                self._rotation.set_timer()
            await workflow.wait_condition(
                lambda: wishes.wanted or self._should_continue_as_new() or self._is_rotation_due(),
                timeout=self._until_look() if looks else None,
                timeout_summary="look at machines",
            )
        except TimeoutError:
            await self._look(at_once=False)
            return
        if wishes.retry:
            wishes.retry = False
            if looks:
                await self._look(at_once=True)
            elif not self._entity.created:
                self._entity.phase = Phase.PENDING
        elif self._should_continue_as_new():
            await self._continue_as_new()

    def _is_rotation_due(self) -> bool:
        return self._rotates and self._rotation.is_due()

    def _until_look(self) -> timedelta:
        now, entity = workflow.now(), self._entity
        entity.next_look = entity.next_look or now + policies.LOOK_INTERVAL
        return max(entity.next_look - now, timedelta(0))

    async def _look(self, *, at_once: bool) -> None:
        """Look at the machines, and repair the one that is due."""
        wishes = self._entity.wishes
        asked_by = wishes.take_asker(RETRY) if at_once else ""
        await self._rotation.look_at_clients()
        plan = await self._deciding.look(at_once=at_once)
        if plan and not (wishes.delete or wishes.cancel):
            await self._mend(plan, asked_by)

    async def _replace(self, machine: str) -> None:
        self._entity.wishes.replacing = machine
        try:
            await self._replace_now(machine)
        finally:
            self._entity.wishes.replacing = ""

    async def _replace_now(self, machine: str) -> None:
        self._enter(Phase.REPAIRING)
        asked_by = self._entity.wishes.take_asker(machine)
        try:
            plan = await self._deciding.plan(replace=machine, lost=machine in self._entity.wishes.lost)
        except GivenUpError:
            return
        except ApplicationError as error:
            self._refused(self._begun(REPLACE_MACHINE, asked_by), error)
            self._entity.waiting_on = f"machine {machine} is not replaced: {error.message}"
            self._enter(Phase.RUNNING)
            return
        finally:
            self._entity.wishes.replace.pop(0)
            self._entity.wishes.lost = [name for name in self._entity.wishes.lost if name != machine]
        await self._mend(plan, asked_by)

    async def _mend(self, plan: Plan, asked_by: str) -> None:
        """Run an operation on a machine of the living cluster; the next look tells what it was good for."""
        self._enter(Phase.REPAIRING)
        result = await self._operate(plan, asked_by)
        self._entity.next_look = workflow.now() + policies.LOOK_AGAIN
        if result:
            self._entity.take(result)
        else:
            # The next one of several could be the slot that too much depends on while this one is not back.
            self._entity.wishes.forget_replacements()
        self._enter(Phase.RUNNING if result else Phase.DEGRADED)

    async def _rotate(self) -> None:
        """Renew the certificates that are due; all of them if somebody asked."""
        wishes = self._entity.wishes
        asked, wishes.rotate = wishes.rotate, False
        asked_by = wishes.take_asker(ROTATE_CERTIFICATES)
        try:
            plan = await self._deciding.plan_rotation(all_due=asked)
        except GivenUpError:
            return
        except ApplicationError as error:
            self._refused(self._begun(ROTATE_CERTIFICATES, asked_by), error)
            self._entity.waiting_on = f"certificates are not renewed: {error.message}"
            self._rotation.put_off()
            return
        self._rotation.planned(plan)
        if plan.steps and plan.operation == ROTATE_CERTIFICATES:
            self._rotation.ended(await self._operate(plan, asked_by))
        self._show()

    def _should_continue_as_new(self) -> bool:
        wishes = self._entity.wishes
        used_up = self._entity.created and wishes.cancelled_from_outside and not wishes.cancel
        return used_up or workflow.info().is_continue_as_new_suggested()

    async def _continue_as_new(self) -> None:
        """Begin a new history, with the state as it is when all handlers have answered."""
        await self._reporting.stop()
        await workflow.wait_condition(workflow.all_handlers_finished)
        update = {"carried": self._entity.carried()}
        workflow.continue_as_new(self._start.model_copy(update=update))

    async def _create(self) -> None:
        # Its first report tells of the operation already, before anything is looked up for it.
        asked_by = self._entity.wishes.take_asker(RETRY, CREATE_CLUSTER)
        self._entity.operation = self._begun(CREATE_CLUSTER, asked_by)
        self._enter(Phase.CREATING)
        try:
            plan = await self._deciding.plan()
        except GivenUpError:
            self._entity.operation = None
            return
        except ApplicationError as error:
            is_first = not self._entity.recent
            self._refused(self._entity.operation, error)
            if self._entity.resource_uid:
                self._entity.waiting_on = f"{error.type}: {error.message}"
            self._enter(Phase.FAILED)
            if not is_first or self._entity.resource_uid:
                return
            # What needs a look-up is refused like a faulty field: the run fails, and nothing was made.
            raise
        self._rotation.planned(plan)
        self._entity.context = self._entity.context.model_copy(update={"endpoint_host": plan.endpoint_host})
        result = await self._operate(plan, asked_by)
        if result:
            # A cancel that came while the last step ended comes too late: what is complete only a delete deletes.
            self._entity.take(result)
            self._entity.endpoint = result.context.endpoint
            self._entity.observed_generation = self._entity.generation
            self._enter(Phase.RUNNING)
        elif not self._entity.wishes.cancel and not self._entity.wishes.delete:
            self._enter(Phase.FAILED)
            self._refuse_if_nothing_was_made()

    def _refuse_if_nothing_was_made(self) -> None:
        """Fail the run when not even the claim was granted: there is nothing to retry or to delete.

        A name whose deletion was begun and forgotten has something to delete: the run waits for that. One that
        comes from a resource waits for the next generation of it.
        """
        if self._entity.resource_uid:
            return
        operation = self._entity.operation
        error = operation.last_error if operation else None
        if not operation or not error or error.code == ErrorCode.CLUSTER_DELETED:
            return
        if all(step.state is not StepState.DONE for step in operation.steps):
            raise refusal(ErrorCode(error.code), error.message)

    async def _delete(self) -> str:
        self._reporting.stop_probing()
        self._enter(Phase.DELETING)
        asked_by = self._entity.wishes.take_asker(DELETE_CLUSTER)
        while not await self._operate(await self._deciding.plan(deleting=True), asked_by):
            self._enter(Phase.FAILED)
            await workflow.wait_condition(lambda: self._entity.wishes.retry)
            self._entity.wishes.retry = False
            asked_by = self._entity.wishes.take_asker(RETRY, DELETE_CLUSTER)
            if workflow.patched("retried-deletes-are-deleting"):
                self._enter(Phase.DELETING)
        self._entity.endpoint = None
        self._enter(Phase.DELETED)
        await self._reporting.let_go()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return "the cluster is deleted; nothing is left"

    async def _undo(self) -> bool:
        """Take back an unfinished create; False when it turned out to be the adoption of a living cluster."""
        self._enter(Phase.DELETING)
        asked_by = self._entity.wishes.take_asker(CANCEL)
        undone = await self._operate(await self._deciding.plan(undoing=True), asked_by)
        if undone and self._entity.resource_uid:
            return self._hold_undone()
        self._enter(Phase.DELETED if undone else Phase.FAILED)
        if not undone:
            self._entity.wishes.cancel = False
            return False
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._entity.wishes.cancelled_from_outside:
            raise asyncio.CancelledError
        return True

    def _begun(self, operation: str, asked_by: str) -> OperationStatus:
        """Return what is known of an operation before its first report."""
        self._entity.asked_by = asked_by
        return OperationStatus(id=operation_id(operation), type=operation, started_at=workflow.now())

    def _refused(self, operation: OperationStatus, error: ApplicationError) -> None:
        """Tell of an operation that could not be planned as of one that has failed."""
        update = {"outcome": "Failed", "last_error": error_status(error), "finished_at": workflow.now()}
        self._entity.operation = operation.model_copy(update=update)
        self._entity.end_operation(workflow.now())
        self._reporting.note_ended(self._entity.operation)

    def _hold_undone(self) -> bool:
        """Wait for what the resource says next: while it is there, ending would only have it created again.

        What was undone is never made again under the same id, whose claim is released for good.
        """
        entity, context = self._entity, self._entity.context
        entity.wishes.cancel = entity.wishes.cancelled_from_outside = False
        another = proposed_id(context.namespace, context.name, str(workflow.uuid4()))
        entity.context = ClusterContext(
            cluster_id=another, namespace=context.namespace, name=context.name, spec=context.spec
        )
        entity.operation, entity.waiting_on = None, "the create was undone: `retry` creates it again"
        if not entity.wishes.delete:
            self._enter(Phase.FAILED)
        return False

    async def _operate(self, plan: Plan, asked_by: str) -> OperationResult | None:
        """Run one operation as a child; None when it failed or was cancelled."""
        context = self._entity.context
        self._entity.waiting_on, self._entity.operation = "", self._begun(plan.operation, asked_by)
        paused = self._entity.wishes.paused and workflow.patched("start-operations-paused")
        child = self._child = Child(plan.operation, OperationInput(context=context, plan=plan, paused=paused))
        self._reporting.note_begun(plan.operation)
        result = None
        try:
            result = await child.run(self._entity)
        except ChildWorkflowError as error:
            if not is_cancelled(error):
                self._deciding.waits_on(error_status(error))
        self._child = None
        self._entity.end_operation(workflow.now())
        if self._entity.operation:
            self._reporting.note_ended(self._entity.operation)
        self._show()
        return result

    def _enter(self, phase: Phase) -> None:
        self._entity.phase = phase
        self._show()

    def _show(self) -> None:
        entity = self._entity
        spec = entity.context.spec
        workflow.set_current_details(cluster_details(entity.status()))
        attributes: list[SearchAttributeUpdate[Any]] = [
            CLUSTER_NAME.value_set(entity.context.name),
            CLUSTER_OWNER.value_set(spec.owner),
            CLUSTER_PROVIDER.value_set(spec.provider),
            CLUSTER_RELEASE.value_set(spec.release),
            CLUSTER_PHASE.value_set(entity.phase),
            *([CLUSTER_CREATED.value_set(entity.created_at)] if entity.created_at else []),
        ]
        known = workflow.info().typed_search_attributes
        changed = [update for update in attributes if known.get(update.key) != update.value]
        if changed:
            workflow.upsert_search_attributes(changed)
        self._reporting.note()

    @workflow.signal
    def progress(self, operation: OperationStatus) -> None:
        """Take a child's report. Not for people."""
        known = self._entity.operation
        if workflow.patched("reports-of-one-clock"):
            if not is_news(operation, known, self._entity.recent):
                return
        elif known and (operation.started_at, operation.revision) < (known.started_at, known.revision):
            return
        self._entity.operation = operation
        self._show()

    @workflow.signal
    def report(self) -> None:
        """Tell the resource how the cluster is, changed or not. Not for people: the bridge asks."""
        self._reporting.note(anew=True)

    @workflow.signal
    def move_machine(self, request: MoveMachine) -> None:
        """Record that a machine must leave its hypervisor. Not for people: they tell the hypervisor."""
        entity, wishes = self._entity, self._entity.wishes
        known = request.machine in machine_names(entity.context.spec) and request.machine != wishes.replacing
        if not known or not entity.created or wishes.delete:
            return
        if request.machine not in wishes.replace:
            wishes.replace.append(request.machine)
        if request.lost and request.machine not in wishes.lost:
            wishes.lost.append(request.machine)

    @workflow.query(description="What the cluster is, does and waits for.")
    def status(self) -> ClusterStatus:
        """Return the status; needs a worker, as every query does."""
        return self._entity.status()
