"""What people and the bridge ask of a ``Cluster``: updates, which only validate and record."""

from temporalio import workflow

from api.errors import ErrorCode
from api.status import Phase
from contracts.machines import machine_names
from contracts.workflows import (
    DELETE_CLUSTER,
    ROTATE_CERTIFICATES,
    Accepted,
    ApplyRequest,
    Reason,
    ReplaceMachineRequest,
)
from workflows.access import People
from workflows.children import Child
from workflows.entity import CANCEL, RETRY, refusal
from workflows.reporting import Reporting


class Updates(People):
    """The part of the ``Cluster`` workflow that takes updates; its loop does what they ask for."""

    _child: Child | None
    _reporting: Reporting

    def _show(self) -> None:
        """Publish the state."""
        raise NotImplementedError

    @workflow.update(description="Apply a desired state: {spec, generation, uid}.")
    def apply(self, request: ApplyRequest) -> Accepted:
        """Record the newest desired state. A generation that is not newer changes nothing."""
        entity = self._entity
        entity.generation = max(entity.generation, request.generation or entity.generation)
        if entity.created:
            entity.observed_generation = entity.generation
        told = "nothing to change"
        if not entity.wants_other(request.spec) and entity.change(request.spec):
            entity.wishes.askers[ROTATE_CERTIFICATES] = request.requested_by
            told = "certificates will be as they are specified now"
        if request.resource and request.uid:
            if entity.wants_other(request.spec):
                entity.context = entity.context.model_copy(update={"spec": request.spec})
                entity.wishes.retry, entity.wishes.askers[RETRY] = True, request.requested_by
                told = "it will be created as it is specified now"
            entity.resource_uid = entity.uid = request.uid
            entity.resource_gone = False
            self._show()
        return Accepted(message=told, generation=entity.generation)

    @apply.validator
    def check_apply(self, request: ApplyRequest) -> None:
        """Refuse what can't be done, naming the fields."""
        self._entity.check_apply(request)

    @workflow.update(description="Delete the cluster and everything of it: {reason}.")
    def delete(self, request: Reason) -> Accepted:
        """Record that the cluster is not wanted any more; an operation under way is stopped at a safe point."""
        workflow.logger.info("delete asked for", extra={"reason": request.reason})
        wishes = self._entity.wishes
        if wishes.delete and self._entity.phase is Phase.FAILED and workflow.patched("delete-again-retries"):
            wishes.retry = True
        wishes.delete, wishes.askers[DELETE_CLUSTER] = True, request.requested_by
        self._reporting.note()
        return self._accepted("the cluster will be deleted")

    @delete.validator
    def check_delete(self, request: Reason) -> None:
        """Refuse who asks for a resource that the cluster isn't of."""
        self._entity.check_resource(request.uid)

    @workflow.update(description="Try again now what failed or waits for its next attempt: {reason}.")
    def retry(self, request: Reason) -> Accepted:
        """Try again."""
        healthy = self._entity.created and self._child is None and self._entity.phase is Phase.RUNNING
        self._entity.wishes.retry = True
        if self._child is None:
            self._entity.wishes.askers[RETRY] = request.requested_by
        return self._accepted("nothing has failed" if healthy else "it will be tried again")

    @workflow.update(description="Put a new machine in an old one's place: {machine, reason}.")
    def replace_machine(self, request: ReplaceMachineRequest) -> Accepted:
        """Record which machine is to be replaced; one after another."""
        workflow.logger.info("replacement asked for", extra={"machine": request.machine, "reason": request.reason})
        wishes = self._entity.wishes
        if request.machine not in wishes.replace:
            wishes.replace.append(request.machine)
            wishes.askers[request.machine] = request.requested_by
        return self._accepted(f"machine {request.machine} will be replaced")

    @replace_machine.validator
    def check_replace_machine(self, request: ReplaceMachineRequest) -> None:
        """Refuse machines that the cluster doesn't have."""
        self._entity.check_replace(request.machine)

    @workflow.update(description="Renew all certificates of the machines now: {reason}.")
    def rotate_certificates(self, request: Reason) -> Accepted:
        """Record that all are to be renewed, once nothing else is under way."""
        workflow.logger.info("rotation asked for", extra={"reason": request.reason})
        wishes = self._entity.wishes
        wishes.rotate, wishes.askers[ROTATE_CERTIFICATES] = True, request.requested_by
        return self._accepted("all certificates will be renewed")

    @rotate_certificates.validator
    def check_rotate_certificates(self, request: Reason) -> None:
        """Refuse before the cluster lives."""
        del request
        self._entity.check_rotate()

    @workflow.update(description="Start no further step until resume: {reason}.")
    def pause(self, request: Reason) -> Accepted:
        """Hold at the next safe point."""
        del request
        self._entity.wishes.paused = True
        self._show()
        return Accepted(message="no further step will start until resume", generation=self._entity.generation)

    @workflow.update(description="Go on after pause: {reason}.")
    def resume(self, request: Reason) -> Accepted:
        """Go on."""
        del request
        message = "going on" if self._entity.wishes.paused else "it was not paused"
        self._entity.wishes.paused = False
        self._show()
        return self._accepted(message)

    @workflow.update(description="Stop the operation at a safe point; an unfinished create is undone: {reason}.")
    def cancel(self, request: Reason) -> Accepted:
        """Record the wish; a living cluster is never deleted by it."""
        self._entity.wishes.cancel, self._entity.wishes.askers[CANCEL] = True, request.requested_by
        created = self._entity.created
        return self._accepted("the operation will be stopped" if created else "the create will be undone")

    def _accepted(self, message: str) -> Accepted:
        paused = ", once it is resumed" if self._entity.wishes.paused else ""
        return Accepted(message=message + paused, generation=self._entity.generation)

    @cancel.validator
    def check_cancel(self, request: Reason) -> None:
        """Refuse when there is nothing to cancel, or no way back."""
        del request
        if self._entity.wishes.delete:
            raise refusal(ErrorCode.CLUSTER_DELETED, "a delete can't be cancelled")
        if self._entity.created and self._child is None:
            raise refusal(ErrorCode.CLUSTER_COMPLETE, "no operation is under way: there is nothing to cancel")

    @workflow.update(description="Let the cluster's resource go, and leave the cluster as it is: {reason}.")
    async def abandon(self, request: Reason) -> Accepted:
        """Forget the resource; the cluster lives on as one that was started by hand, and may be adopted again."""
        del request
        entity, context = self._entity, self._entity.context
        machines = ", ".join(machine_names(context.spec))
        told = f"cluster {context.cluster_id} lives on with {machines}, their volumes, its network and authorities"
        await self._reporting.abandon(told)
        return Accepted(message=told, generation=entity.generation)

    @abandon.validator
    def check_abandon(self, request: Reason) -> None:
        """Refuse when there is no resource, or nothing that could live on."""
        self._entity.check_resource(request.uid)
        if not self._entity.resource_uid:
            raise refusal(ErrorCode.INVALID_SPEC, "it has no resource that could be let go")
        if self._entity.wishes.delete:
            raise refusal(ErrorCode.CLUSTER_DELETED, "it is being deleted")
