"""An operation as a child of the ``Cluster`` workflow, and the wishes that are passed on to it."""

import contextlib

from temporalio import workflow
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from contracts.workflows import OperationInput, OperationResult
from workflows import policies
from workflows.entity import Entity, Wishes

_IDS = {
    "CreateCluster": "create",
    "DeleteCluster": "delete",
    "ReplaceMachine": "replace",
    "RepairMachine": "repair",
    "RotateCertificates": "rotate",
}


def operation_id(operation: str) -> str:
    """Return the id of the workflow of an operation, which is the same each time."""
    return f"{workflow.info().workflow_id}/{_IDS[operation]}"


class Child:
    """One operation. Its id is stable, so that two of a kind can never run for one cluster."""

    def __init__(self, operation: str, request: OperationInput) -> None:
        """Take what to run; ``run`` starts it."""
        self._operation = operation
        self._request = request
        self._paused = request.paused
        self._stopping = False

    async def run(self, entity: Entity) -> OperationResult:
        """Start the operation, pass wishes on while it runs, and return its result.

        Raises ``ChildWorkflowError`` when it failed or was cancelled.
        """
        handle = await self._start()
        wishes = entity.wishes
        while not handle.done():
            await workflow.wait_condition(lambda: handle.done() or self._news(wishes))
            if not handle.done():
                await self._pass_on(handle, wishes)
        result: OperationResult = await handle
        return result

    async def _start(self) -> "workflow.ChildWorkflowHandle[object, OperationResult]":
        """Start the child; one that a terminated run left behind is waited for."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await workflow.start_child_workflow(
                    self._operation,
                    self._request,
                    id=operation_id(self._operation),
                    result_type=OperationResult,
                    static_summary=self._summary,
                    priority=policies.BEHIND,
                )
            except WorkflowAlreadyStartedError:
                await workflow.sleep(
                    policies.backoff(attempt), summary="wait for the operation of a terminated run"
                )

    @property
    def _summary(self) -> str:
        context = self._request.context
        return f"{self._operation} {context.namespace}/{context.name} ({context.cluster_id})"

    def _news(self, wishes: Wishes) -> bool:
        return wishes.retry or wishes.paused != self._paused or self._to_stop(wishes)

    def _to_stop(self, wishes: Wishes) -> bool:
        unwanted = self._operation != "DeleteCluster" and (wishes.delete or wishes.cancel)
        return unwanted and not self._stopping

    async def _pass_on(
        self, handle: "workflow.ChildWorkflowHandle[object, OperationResult]", wishes: Wishes
    ) -> None:
        # A child that has ended meanwhile can't be told anything: what is still wished for is up to the entity.
        with contextlib.suppress(ApplicationError):
            if self._to_stop(wishes):
                self._stopping = True
                # Not by the handle, which cancels the child's first run: it may have continued as new.
                await workflow.get_external_workflow_handle(handle.id).cancel()
            elif wishes.paused != self._paused:
                self._paused = wishes.paused
                await handle.signal("pause" if self._paused else "resume")
            elif wishes.retry:
                await handle.signal("retry")
                wishes.retry = False
