"""What the ``Cluster`` workflow remembers: wishes that handlers record, and facts that its loop records."""

from dataclasses import dataclass, field
from datetime import datetime

from temporalio.exceptions import ApplicationError

from api.changes import changed, unsupported_changes
from api.cluster import TOO_SELDOM, ClusterSpec
from api.errors import ErrorCode
from api.status import ClusterStatus, OperationRecord, OperationStatus, Phase, StepState, StepStatus
from contracts.context import ClusterContext
from contracts.machines import machine_names, slot_names
from contracts.repair import Unwell
from contracts.reporting import ApiHealth
from contracts.workflows import (
    CREATE_CLUSTER,
    Access,
    ApplyRequest,
    Awaited,
    Carried,
    Certificates,
    ClusterInput,
    OperationResult,
)

RECENT_OPERATIONS = 10
RECENT_ACCESSES = 50
RETRY, CANCEL = "retry", "cancel"


@dataclass
class Wishes:
    """What was asked for by messages and not yet done. Handlers write it, the loop takes it."""

    delete: bool = False
    cancel: bool = False
    cancelled_from_outside: bool = False
    retry: bool = False
    paused: bool = False
    replace: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    replacing: str = ""
    rotate: bool = False
    askers: dict[str, str] = field(default_factory=dict)
    """Who asked for what is still to come: by operation, ``RETRY`` or ``CANCEL``, or machine to be replaced."""

    def take_asker(self, *wishes: str) -> str:
        """Return who asked for what begins now: for the first of these that somebody asked for."""
        return next(filter(None, [self.askers.pop(wish, "") for wish in wishes]), "")

    def forget_replacements(self) -> None:
        """Do none of those that wait."""
        for machine in self.replace:
            self.take_asker(machine)
        self.replace.clear()
        self.lost.clear()

    @property
    def wanted(self) -> bool:
        """Whether there is anything for the loop to do."""
        return self.delete or self.cancel or self.retry or bool(self.replace)


@dataclass
class Entity:
    """State of one cluster."""

    context: ClusterContext
    generation: int = 1
    uid: str | None = None
    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    endpoint: str | None = None
    waiting_on: str = ""
    operation: OperationStatus | None = None
    recent: list[OperationRecord] = field(default_factory=list)
    created_at: datetime | None = None
    unwell: list[Unwell] = field(default_factory=list)
    next_look: datetime | None = None
    resource_uid: str = ""
    resource_gone: bool = False
    health: ApiHealth | None = None
    sequence: int = 0
    reported_at: datetime | None = None
    certificates: dict[str, datetime] = field(default_factory=dict)
    issued: Certificates = field(default_factory=dict)
    rotate_at: datetime | None = None
    unrenewed: dict[str, str] = field(default_factory=dict)
    awaited: dict[str, Awaited] = field(default_factory=dict)
    stale_clients: list[str] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    wishes: Wishes = field(default_factory=Wishes)
    asked_by: str = ""

    @property
    def created(self) -> bool:
        """Whether a create has succeeded."""
        return self.observed_generation > 0

    def take(self, result: OperationResult) -> None:
        """Record what an operation has made of the cluster."""
        # What was changed while the operation ran is still to come.
        self.context = result.context.model_copy(update={"spec": self.context.spec})
        machines = machine_names(self.context.spec)
        for machine, issued in result.issued.items():
            self.issued[machine] = {**self.issued.get(machine, {}), **issued}
        self.issued = {name: self.issued[name] for name in machines if name in self.issued}
        ends = {name: min(each.expires_at for each in has.values()) for name, has in self.issued.items() if has}
        known = {**self.certificates, **result.certificates, **ends}
        self.certificates = {name: known[name] for name in machines if name in known}
        self._await_clients(result)

    def _await_clients(self, result: OperationResult) -> None:
        """Note which clients are to use their new certificates; those before them are not waited for any more."""
        new = {
            issued.credential: Awaited(machine=machine, name=name, since=result.finished_at)
            for machine, certificates in result.issued.items()
            for name, issued in certificates.items()
            if issued.audited
        }
        replaced = {(awaited.machine, awaited.name) for awaited in new.values()}
        kept = {key: old for key, old in self.awaited.items() if (old.machine, old.name) not in replaced}
        self.awaited = {key: each for key, each in (kept | new).items() if each.machine in self.issued}

    def check_apply(self, request: ApplyRequest) -> None:
        """Raise ``ApplicationError`` with every field that can't be changed, or why nothing can be applied."""
        if self.wishes.delete or (self.wishes.cancel and not self.created):
            raise refusal(
                ErrorCode.NAME_CONFLICT, "the predecessor of this name is still being deleted; apply again later"
            )
        if request.uid and self.uid and request.uid != self.uid:
            raise refusal(ErrorCode.NAME_CONFLICT, f"the name belongs to a cluster with uid {self.uid}")
        if self.resource_uid and not request.resource:
            resource = f"Cluster {self.context.namespace}/{self.context.name}"
            raise refusal(ErrorCode.MANAGED_BY_RESOURCE, f"its spec comes from the resource {resource} alone")
        if request.resource and self.wants_other(request.spec):
            return
        fields = unsupported_changes(self.context.spec, request.spec)
        if fields:
            raise refusal(ErrorCode.INVALID_SPEC, f"can't be changed on a living cluster yet: {', '.join(fields)}")
        if changed(self.context.spec, request.spec).certificates.too_seldom:
            # What is wanted may be fine by itself, but not with what it leaves as it is.
            raise refusal(ErrorCode.INVALID_SPEC, f"spec.certificates: {TOO_SELDOM}")

    def check_resource(self, uid: str) -> None:
        """Raise ``ApplicationError`` when a message is for a resource that the cluster isn't of."""
        if uid and uid != self.resource_uid:
            name = f"{self.context.namespace}/{self.context.name}"
            raise refusal(ErrorCode.NAME_CONFLICT, f"the cluster {name} is not of the resource with uid {uid}")

    def change(self, spec: ClusterSpec) -> bool:
        """Take over what can be changed, and say whether that is anything; planning then finds what is due."""
        wanted = changed(self.context.spec, spec)
        if wanted == self.context.spec:
            return False
        self.context = self.context.model_copy(update={"spec": wanted})
        self.rotate_at = None
        return True

    def wants_other(self, spec: ClusterSpec) -> bool:
        """Say whether a cluster that could not be created would be created otherwise by ``spec``."""
        steps = self.operation.steps if self.operation else []
        made = self.created or any(step.state is StepState.DONE for step in steps)
        return self.phase is Phase.FAILED and not made and spec != self.context.spec

    def check_rotate(self) -> None:
        """Raise ``ApplicationError`` when there are no certificates that could be renewed."""
        if not self.created or self.wishes.delete:
            raise refusal(ErrorCode.API_NOT_READY, f"the cluster is {self.phase}: it has no certificates to renew")

    def check_replace(self, machine: str) -> None:
        """Raise ``ApplicationError`` when a machine can't be replaced, saying why."""
        if not self.created or self.wishes.delete:
            raise refusal(ErrorCode.API_NOT_READY, f"the cluster is {self.phase}: it has no machine to replace")
        known = machine_names(self.context.spec)
        if machine not in known:
            raise refusal(ErrorCode.INVALID_SPEC, f"machine: there is no {machine}; there are: {', '.join(known)}")
        slots = {*slot_names(self.context.spec)}
        ill = {entry.name for entry in self.unwell if entry.since} & slots - {machine}
        if machine in slots and ill:
            raise refusal(ErrorCode.MACHINE_NOT_READY, f"{', '.join(sorted(ill))} must be repaired first")

    def record_access(self, access: Access) -> None:
        """Remember whom a certificate was given; the last fifty are kept."""
        self.accesses = [*self.accesses, access][-RECENT_ACCESSES:]

    def end_operation(self, now: datetime) -> None:
        """Keep the operation that has ended among the last ten; one that was terminated could not tell its end."""
        if self.operation is None:
            return
        operation = self.operation
        if operation.outcome is None:
            steps = [_ended(step, now) for step in operation.steps]
            update = {"outcome": "Failed", "finished_at": now, "steps": steps}
            operation = self.operation = operation.model_copy(update=update)
        message = operation.last_error.message if operation.last_error else ""
        ended = OperationRecord(
            id=operation.id,
            type=operation.type,
            started_at=operation.started_at,
            finished_at=operation.finished_at or now,
            outcome=operation.outcome or "Failed",
            message=message,
            requested_by=self.asked_by,
        )
        self.recent = [*self.recent, ended][-RECENT_OPERATIONS:]

    def status(self) -> ClusterStatus:
        """Return what the query ``status`` answers."""
        spec = self.context.spec
        return ClusterStatus(
            name=self.context.name,
            namespace=self.context.namespace,
            cluster_id=self.context.cluster_id,
            owner=spec.owner,
            provider=spec.provider,
            release=spec.release,
            phase=self.phase,
            paused=self.wishes.paused,
            generation=self.generation,
            observed_generation=self.observed_generation,
            endpoint=self.endpoint,
            operation=self.operation,
            recent_operations=self.recent,
            waiting_on=self.waiting_on,
            resource_gone=self.resource_gone,
            rotate_at=self.rotate_at,
            unrenewed=self.unrenewed,
            stale_clients=self.stale_clients,
        )

    def carried(self) -> Carried:
        """Return what the next run needs; only between operations.

        A cancel from outside is forgotten once it is used up: the next run can be cancelled again.
        """
        return Carried(
            cluster_id=self.context.cluster_id,
            generation=self.generation,
            observed_generation=self.observed_generation,
            endpoint=self.endpoint or "",
            context=self.context,
            paused=self.wishes.paused,
            recent_operations=self.recent,
            created_at=self.created_at,
            phase=self.phase,
            waiting_on=self.waiting_on,
            delete=self.wishes.delete,
            cancel=self.wishes.cancel,
            cancelled_from_outside=self.wishes.cancelled_from_outside and not self.created,
            replace=self.wishes.replace,
            lost=self.wishes.lost,
            unwell=self.unwell,
            next_look=self.next_look,
            resource_uid=self.resource_uid,
            resource_gone=self.resource_gone,
            health=self.health,
            sequence=self.sequence,
            reported_at=self.reported_at,
            certificates=self.certificates,
            issued=self.issued,
            rotate=self.wishes.rotate,
            rotate_at=self.rotate_at,
            unrenewed=self.unrenewed,
            awaited=self.awaited,
            accesses=self.accesses,
            askers=self.wishes.askers,
            operation=self.operation if self.operation and self.operation.outcome else None,
        )


def new_entity(start: ClusterInput, proposed_id: str, now: datetime) -> Entity:
    """Return the state at the start of a run: of a new cluster, or as the run before left it."""
    meta = start.metadata
    entity = Entity(
        context=ClusterContext(cluster_id=proposed_id, namespace=meta.namespace, name=meta.name, spec=start.spec),
        generation=meta.generation,
        uid=meta.uid,
        created_at=now,
        resource_uid=(meta.uid or "") if start.resource else "",
    )
    entity.wishes.askers[CREATE_CLUSTER] = start.requested_by
    if start.carried:
        _restore(entity, start.carried)
    if start.resource or entity.resource_uid:
        entity.uid = entity.resource_uid or None  # it may have been let go since, or have come later
    return entity


def refusal(code: ErrorCode, message: str) -> ApplicationError:
    """Return the error that rejects a message."""
    return ApplicationError(message, type=code, non_retryable=True)


def _ended(step: StepStatus, now: datetime) -> StepStatus:
    if step.state is not StepState.RUNNING:
        return step
    return step.model_copy(update={"state": StepState.FAILED, "finished_at": now, "next_retry_time": None})


def _restore(entity: Entity, carried: Carried) -> None:
    entity.context = carried.context
    entity.observed_generation = carried.observed_generation
    entity.generation = max(entity.generation, carried.generation, carried.observed_generation)
    entity.endpoint = carried.endpoint or None
    entity.recent = list(carried.recent_operations)
    entity.created_at = carried.created_at
    entity.phase = carried.phase
    entity.waiting_on = carried.waiting_on
    entity.wishes = Wishes(
        delete=carried.delete,
        cancel=carried.cancel,
        cancelled_from_outside=carried.cancelled_from_outside,
        paused=carried.paused,
        replace=list(carried.replace),
        lost=list(carried.lost),
        rotate=carried.rotate,
        askers=dict(carried.askers),
    )
    entity.unwell = list(carried.unwell)
    entity.next_look = carried.next_look
    entity.resource_uid = carried.resource_uid
    entity.resource_gone = carried.resource_gone
    entity.health = carried.health
    entity.sequence = carried.sequence
    entity.reported_at = carried.reported_at
    entity.certificates = dict(carried.certificates)
    entity.issued = dict(carried.issued)
    entity.rotate_at = carried.rotate_at
    entity.unrenewed = dict(carried.unrenewed)
    entity.awaited = dict(carried.awaited)
    entity.accesses = list(carried.accesses)
    entity.operation = carried.operation
