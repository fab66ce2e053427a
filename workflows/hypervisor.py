"""Hypervisor: the entity workflow of one hypervisor, from its enrolment until it is forgotten.

Handlers only validate and record; one loop acts. What the scheduler goes by is in the KV store, not here: a run
that is lost is started again, and finds the hypervisor as it was.
"""

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from api.errors import ErrorCode
from api.status import ErrorStatus
from contracts import activities as names
from contracts import queues
from contracts.hypervisors import (
    HYPERVISOR,
    CheckRequest,
    ClusterNetworks,
    Debt,
    EnrolRequest,
    HypervisorFacts,
    HypervisorInput,
    HypervisorPhase,
    HypervisorRecord,
    HypervisorReference,
    HypervisorStatus,
    Mark,
    MarkRequest,
    SweptRequest,
    hypervisor_id,
)
from contracts.machines import ClusterReference, Leftovers, MachinesReference
from contracts.workflows import Accepted, MoveMachine, Reason, workflow_id
from workflows import policies
from workflows.asking import ask
from workflows.checklist import hypervisor_details
from workflows.entity import refusal
from workflows.failures import error_status

Result = TypeVar("Result")

CHECK_INTERVAL = timedelta(minutes=1)
MOVE_AGAIN = timedelta(minutes=15)
"""When a cluster is told again to move a machine: a replacement may fail, and messages may come too early."""


@workflow.defn(name=HYPERVISOR)
class HypervisorWorkflow:
    """One hypervisor of a site."""

    @workflow.init
    def __init__(self, start: HypervisorInput | None = None) -> None:
        """Take the hypervisor's name."""
        if start is None or workflow.info().workflow_id != hypervisor_id(start.site, start.name):
            expected = hypervisor_id(start.site, start.name) if start else "hypervisor/SITE/NAME"
            raise refusal(ErrorCode.INVALID_SPEC, f"input: site and name; the workflow's id must be {expected}")
        self._start = start
        carried = start.carried
        self._status = carried or HypervisorStatus(
            site=start.site, name=start.name, phase=HypervisorPhase.SILENT, waiting_on="its first check"
        )
        self._wish: Mark | Literal["forget"] | None = None
        self._refusal: ErrorStatus | None = None
        self._one_by_one = asyncio.Lock()
        self._forgotten = False
        self._told: dict[str, datetime] = {}

    @workflow.run
    async def run(self, start: HypervisorInput | None = None) -> str:
        """Live until the hypervisor is forgotten; returns one sentence about the end.

        Fails when the hypervisor can't be enrolled, saying why.
        """
        del start
        while not self._forgotten:
            await self._check()
            await self._sweep()
            await self._move_machines()
            await self._wait()
            if workflow.info().is_continue_as_new_suggested():
                await self._continue_as_new()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return "the hypervisor is forgotten"

    async def _continue_as_new(self) -> None:
        """Begin a new history, unless somebody wishes for something: that comes first."""
        await workflow.wait_condition(lambda: self._wish is not None or workflow.all_handlers_finished())
        if self._wish is None:
            workflow.continue_as_new(self._start.model_copy(update={"carried": self._status}))

    async def _wait(self) -> None:
        self._show()
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._wish is not None,
                timeout=CHECK_INTERVAL,
                timeout_summary="check the hypervisor",
            )
        if self._wish is not None:
            await self._fulfil(self._wish)
            self._wish = None

    async def _check(self) -> None:
        """Have the hypervisor join its networks, ask what it has, and write that down."""
        try:
            known = await self._ask(
                names.FIND_NETWORKS, self._vault, self._reference, ClusterNetworks, "find its networks"
            )
        except ActivityError as error:
            self._waits_on(error)
            return
        try:
            request = CheckRequest(**self._reference.model_dump(), networks=known.items)
            facts = await self._ask(
                names.CHECK_HYPERVISOR, self._queue, request, HypervisorFacts, "check the hypervisor"
            )
        except ActivityError as error:
            await self._note_silence(error)
        else:
            await self._enrol(facts)

    async def _note_silence(self, error: ActivityError) -> None:
        """Write down that it does not answer, so that it gets no new machines, and read what is there by now.

        What has been made elsewhere since must not be moved once more.
        """
        self._waits_on(error)
        if self._status.silent_since and not workflow.patched("silent-records-are-read"):
            return
        self._update(silent_since=self._status.silent_since or workflow.now())
        if self._status.record:
            with contextlib.suppress(ActivityError):  # the next check tells, if there is one
                self._record = await self._ask(
                    names.RECORD_SILENCE, self._vault, self._reference, HypervisorRecord, "write down its silence"
                )

    async def _enrol(self, facts: HypervisorFacts) -> None:
        request = EnrolRequest(**self._reference.model_dump(), facts=facts)
        try:
            self._record = await self._ask(
                names.ENROL_HYPERVISOR, self._vault, request, HypervisorRecord, "write down what it has"
            )
        except ActivityError as error:
            described = error_status(error)
            if not described.retryable and self._status.record is None:
                raise refusal(ErrorCode(described.code), described.message) from error
            self._waits_on(error)
        else:
            self._update(silent_since=None, waiting_on="; ".join(facts.broken))

    async def _sweep(self) -> None:
        """Remove what could not be removed when it should have been, and write down that it is gone.

        What somebody wishes meanwhile comes first.
        """
        record = self._status.record
        for debt in record.unswept if record and not self._status.silent_since else ():
            if self._wish is not None:
                return
            try:
                await self._remove(debt)
            except ActivityError as error:
                self._waits_on(error)
                return

    async def _remove(self, debt: Debt) -> None:
        cluster = ClusterReference(cluster_id=debt.cluster_id, namespace=debt.namespace, name=debt.name)
        what = f"{debt.cluster_id}/{debt.machine or 'everything'}"
        if debt.machine:
            reference = MachinesReference(cluster_id=debt.cluster_id, names=[debt.machine])
            await self._ask(names.DELETE_MACHINE, self._queue, reference, type(None), f"remove {what}")
        else:
            await self._ask(names.DELETE_MACHINES, self._queue, cluster, type(None), f"remove {what}")
            left = await self._ask(
                names.LIST_MACHINE_LEFTOVERS, self._queue, cluster, Leftovers, f"see that {what} is gone"
            )
            if left.items:
                self._update(waiting_on=f"{what} is still there after its removal")
                return
        request = SweptRequest(**self._reference.model_dump(), debt=debt)
        self._record = await self._ask(
            names.RECORD_SWEPT, self._vault, request, HypervisorRecord, f"write down that {what} is gone"
        )
        self._show()

    async def _fulfil(self, wish: "Mark | Literal['forget']") -> None:
        self._refusal = None
        try:
            if isinstance(wish, Mark):
                request = MarkRequest(**self._reference.model_dump(), mark=wish)
                self._record = await self._ask(
                    names.MARK_HYPERVISOR, self._vault, request, HypervisorRecord, f"mark it {wish}"
                )
            else:
                await self._ask(names.FORGET_HYPERVISOR, self._vault, self._reference, type(None), "forget it")
                self._forgotten = True
        except ActivityError as error:
            self._refusal = error_status(error)

    async def _move_machines(self) -> None:
        """Tell clusters to move what is to leave; what has a volume here stays."""
        record = self._status.record
        if record is None or record.mark is Mark.OPEN:
            return
        dead = record.mark is Mark.DEAD
        if not (dead or self._status.evacuating):
            return
        for machine in record.machines:
            told = self._told.get(f"{machine.cluster_id}/{machine.machine}")
            if machine.volume or (told and workflow.now() - told < MOVE_AGAIN):
                continue
            self._told[f"{machine.cluster_id}/{machine.machine}"] = workflow.now()
            handle = workflow.get_external_workflow_handle(workflow_id(machine.namespace, machine.name))
            with contextlib.suppress(ApplicationError):  # the cluster may have ended meanwhile
                await handle.signal("move_machine", MoveMachine(machine=machine.machine, lost=dead))

    async def _ask(
        self, activity: str, queue: str, request: Any, result_type: type[Result], summary: str
    ) -> Result:
        """Ask for what comes soon or not at all: wishes wait meanwhile."""
        soon = policies.LOOK_QUEUE_TIMEOUT
        return await ask(activity, queue, request, result_type, summary, taken_within=soon)

    def _waits_on(self, error: ActivityError) -> None:
        described = error_status(error, self._queue)
        self._update(waiting_on=f"{described.message}; {described.hint}")

    def _update(self, **changes: Any) -> None:
        self._status = self._status.model_copy(update=changes)

    def _show(self) -> None:
        self._update(phase=self._phase)
        workflow.set_current_details(hypervisor_details(self._status))

    @property
    def _record(self) -> HypervisorRecord | None:
        return self._status.record

    @_record.setter
    def _record(self, record: HypervisorRecord) -> None:
        self._update(record=record)

    @property
    def _phase(self) -> HypervisorPhase:
        record = self._status.record
        if record and record.mark is Mark.DEAD:
            return HypervisorPhase.DEAD
        if record is None or self._status.silent_since:
            return HypervisorPhase.SILENT
        return HypervisorPhase.CORDONED if record.mark is Mark.CORDONED else HypervisorPhase.READY

    @property
    def _reference(self) -> HypervisorReference:
        return HypervisorReference(site=self._start.site, name=self._start.name)

    @property
    def _queue(self) -> str:
        return queues.hypervisor(self._start.site, self._start.name)

    @property
    def _vault(self) -> str:
        return queues.vault(self._start.site)

    @workflow.query(description="What the hypervisor has, takes and waits for.")
    def status(self) -> HypervisorStatus:
        """Return the status; needs a worker, as every query does."""
        return self._status.model_copy(update={"phase": self._phase})

    @workflow.update(description="Let it take no new machines; those that it has stay: {reason}.")
    async def cordon(self, request: Reason) -> Accepted:
        """Take it out of the scheduler's sight."""
        return await self._wished(Mark.CORDONED, request, "it takes no new machines")

    @workflow.update(description="Let it take new machines again: {reason}.")
    async def uncordon(self, request: Reason) -> Accepted:
        """Put it into the scheduler's sight; it is refused while it owes the removal of something."""
        accepted = await self._wished(Mark.OPEN, request, "it takes new machines")
        self._update(evacuating=False)
        return accepted

    @workflow.update(description="Cordon it, and have nodes replaced elsewhere, one by one: {reason}.")
    async def evacuate(self, request: Reason) -> Accepted:
        """Move what can be moved; control plane machines stay, as their volumes are here."""
        accepted = await self._wished(Mark.CORDONED, request, "its nodes are replaced elsewhere")
        self._update(evacuating=True)
        return accepted

    @workflow.update(description="Give your word that nothing runs there, nor will before it is swept: {reason}.")
    async def declare_dead(self, request: Reason) -> Accepted:
        """Have its nodes made elsewhere without seeing them gone. What it owes is removed when it is back."""
        return await self._wished(Mark.DEAD, request, "its nodes are made elsewhere; keep its power off")

    @declare_dead.validator
    def check_declare_dead(self, request: Reason) -> None:
        """Refuse while it answers: all its nodes would be there twice."""
        del request
        if not self._status.silent_since:
            raise refusal(
                ErrorCode.HYPERVISOR_REFUSED,
                "it answers: evacuate it, or stop its worker and wait until it is Silent",
            )

    @workflow.update(description="Take it out of the inventory; it must have no machines: {reason}.")
    async def forget(self, request: Reason) -> Accepted:
        """Forget it; one that is dead is forgotten with what it owes, as somebody gave a word for it."""
        return await self._wished("forget", request, "it is forgotten")

    async def _wished(self, wish: "Mark | Literal['forget']", request: Reason, message: str) -> Accepted:
        """Hand a wish to the loop, and answer when it is fulfilled."""
        workflow.logger.info("wished", extra={"wish": wish, "reason": request.reason})
        async with self._one_by_one:
            if self._forgotten:
                raise refusal(ErrorCode.HYPERVISOR_REFUSED, "it is forgotten; start it again to enrol it")
            self._wish = wish
            await workflow.wait_condition(lambda: self._wish is None)
            if self._refusal:
                raise refusal(ErrorCode(self._refusal.code), f"{self._refusal.message}; {self._refusal.hint}")
        return Accepted(message=message)
