"""Telling the ``Cluster`` resource in the host cluster how its cluster is; the only writer of its status.

Only for clusters that come from a resource. Reports never hold up an operation: they are made beside it, the first
of a burst at once and the next a second later, and again and again while the host cluster is away.
"""

import asyncio
import contextlib
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from api.errors import ErrorCode
from api.status import OperationStatus
from contracts import activities as names
from contracts import queues
from contracts.reporting import (
    ApiHealth,
    ProbeRequest,
    ReportAnswer,
    ResourceEvent,
    ResourceReference,
    StatusReport,
)
from workflows import policies
from workflows.asking import ask
from workflows.entity import Entity, refusal
from workflows.failures import error_status, is_cancelled


class Reporting:
    """Reports about one cluster, and the probe of its API that some of them come from."""

    def __init__(self, entity: Entity) -> None:
        """Report nothing yet."""
        self._entity = entity
        self._changed = False
        self._begun = False
        self._stopped = False
        self._heard = False
        self._leaving = False
        self._before = entity.reported_at
        self._events: list[ResourceEvent] = []
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Begin to report, when there is something to say.

        A message that comes with the start is handled before the workflow itself begins anything, and its report
        would tell of nothing.
        """
        self._begun = True

    def note(self, *, anew: bool = False) -> None:
        """Note that something has changed, ``anew`` that the API was heard; the first time begins to report."""
        self._changed = True
        self._heard = self._heard or anew
        begun = self._begun or not workflow.patched("reports-begin-with-the-loop")
        if self._entity.resource_uid and begun and not self._tasks and not self._stopped:
            self._tasks = [asyncio.create_task(self._report()), asyncio.create_task(self._probe())]

    def note_begun(self, operation: str) -> None:
        """Have an Event tell that an operation begins."""
        now = workflow.now()
        self._add(
            ResourceEvent(
                key=f"{operation}.begun.{now.isoformat()}", reason=f"{operation}Started", message="started", at=now
            )
        )

    def note_ended(self, operation: OperationStatus) -> None:
        """Have an Event tell how an operation has ended."""
        outcome, error = operation.outcome or "Failed", operation.last_error
        self._add(
            ResourceEvent(
                key=f"{operation.type}.ended.{operation.started_at.isoformat()}",
                reason=f"{operation.type}{outcome}",
                message=f"{error.code}: {error.message}; {error.hint}" if error else outcome.lower(),
                warning=outcome == "Failed",
                at=operation.finished_at or workflow.now(),
            )
        )

    def stop_probing(self) -> None:
        """Look at the API no more: it is about to go."""
        for task in self._tasks[1:]:
            task.cancel()

    async def stop(self) -> None:
        """Stop between two reports, so that the workflow may continue as new: the next run begins with one."""
        self._stopped = True
        self.stop_probing()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def abandon(self, told: str) -> None:
        """Tell what lives on, and let the resource go; a later resource may begin to be reported to.

        Raises ``ApplicationError`` when the host cluster can't be told: who asks may ask again.
        """
        if self._leaving:
            raise refusal(ErrorCode.INVALID_SPEC, "it is being let go already")
        self._leaving = True
        self._add(ResourceEvent(key="abandoned", reason="Abandoned", message=told, at=workflow.now()))
        try:
            await self._let_go(policies.ABANDON_ATTEMPTS)
            self._entity.resource_uid, self._entity.uid, self._entity.health = "", None, None
        except ActivityError as error:
            described = error_status(error)
            raise refusal(ErrorCode(described.code), described.message) from error
        finally:
            self._leaving, self._stopped, self._tasks = False, False, []
            self.note()

    async def let_go(self) -> None:
        """Tell the end, and let the resource go, however long the host cluster is away."""
        await self._let_go()

    async def _let_go(self, attempts: int = 0) -> None:
        """Let the resource go; after so many attempts, if any are named, raise what the last one did."""
        resource = self._resource()
        if not resource.uid:
            return
        await self.stop()
        attempt = 0
        while self._entity.resource_uid == resource.uid:
            try:
                wait = _until_next(self._entity.reported_at)
                if wait and workflow.patched("last-reports-wait-their-turn"):
                    await workflow.sleep(wait, summary="last report to the resource")
                await self._send()
                await ask(names.RELEASE_RESOURCE, queues.HOST, resource, ReportAnswer, "let the resource go")
            except ActivityError:
                attempt += 1
                if attempt == attempts:
                    raise
                await workflow.sleep(policies.backoff(attempt), summary="let the resource go")
            else:
                return

    def _add(self, event: ResourceEvent) -> None:
        if self._entity.resource_uid:
            self._events = [*self._events, event][-policies.KEPT_EVENTS :]

    async def _report(self) -> None:
        attempt, last, self._before = 0, self._before, None
        while True:
            await workflow.wait_condition(lambda: self._changed or self._stopped)
            await self._rest(_until_next(last))
            if self._stopped:
                return
            last = workflow.now()
            try:
                if await self._send():
                    return
            except ActivityError:
                attempt += 1
                self._changed = True
                await self._rest(policies.backoff(attempt))
            else:
                attempt = 0

    async def _rest(self, time: timedelta) -> None:
        if time > timedelta(0):
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._stopped, timeout=time, timeout_summary="next report to the resource"
                )

    async def _send(self) -> bool:
        """Tell the resource all that there is to tell; returns whether it is gone, and forgets it then."""
        entity, events = self._entity, self._events
        self._changed, heard, self._heard = False, self._heard, False
        now = entity.reported_at = workflow.now()
        # By the clock, so that a cluster whose history was lost goes on from where it was.
        entity.sequence = max(entity.sequence + 1, int(now.timestamp() * 1000))
        report = StatusReport(
            resource=self._resource(),
            sequence=entity.sequence,
            reported_at=now,
            spec=entity.context.spec,
            status=entity.status(),
            health=entity.health,
            deleting=entity.wishes.delete,
            anew=heard,
            certificate_expires_at=min(entity.certificates.values(), default=None),
            run_id=workflow.info().run_id,
            events=events,
        )
        try:
            answer = await ask(names.REPORT_STATUS, queues.HOST, report, ReportAnswer, "report to the resource")
        except ActivityError:
            self._heard = self._heard or heard
            raise
        self._events = [event for event in self._events if event not in events]
        if answer.sequence > entity.sequence:
            # Somebody wrote a later number into the resource; nobody else reports about this cluster.
            entity.sequence, self._changed = answer.sequence, True
        if answer.gone and not entity.wishes.delete:
            entity.resource_gone, entity.resource_uid, entity.uid = True, "", None
            self.stop_probing()
            self._tasks, entity.health = [], None
        return answer.gone

    def _resource(self) -> ResourceReference:
        context = self._entity.context
        return ResourceReference(namespace=context.namespace, name=context.name, uid=self._entity.resource_uid)

    async def _probe(self) -> None:
        """Look at the cluster's API for as long as it lives; what changes is reported."""
        entity = self._entity
        while True:
            await workflow.wait_condition(lambda: entity.created)
            if entity.wishes.delete:
                return
            try:
                entity.health = await self._await_change()
            except ActivityError as error:
                if is_cancelled(error):
                    return
                # Its worker tries again by itself; what comes here is for people, who see it in the Web UI too.
                entity.health = ApiHealth(available=None, message=error_status(error).message)
                await self._rest(policies.LOOK_AGAIN)
            self.note(anew=True)

    async def _await_change(self) -> ApiHealth:
        spec = self._entity.context.spec
        health: ApiHealth = await workflow.execute_activity(
            names.PROBE_API,
            ProbeRequest(cluster=self._entity.context, known=self._entity.health),
            result_type=ApiHealth,
            task_queue=queues.probes(spec.site, spec.provider),
            start_to_close_timeout=policies.PROBE_TIMEOUT,
            heartbeat_timeout=policies.PROBE_HEARTBEAT_TIMEOUT,
            cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
            summary="look at the API until something changes",
        )
        return health


def _until_next(last: datetime | None) -> timedelta:
    """Return how long the next report waits for its turn after the last."""
    return max(last + policies.REPORT_INTERVAL - workflow.now(), timedelta(0)) if last else timedelta(0)
