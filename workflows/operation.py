"""Walking a plan: steps side by side where they don't need each other, each tried until it works.

A workflow gives the walker one coroutine for each kind of step. Pause, retry and cancellation take effect
between attempts; an activity that runs is always waited for, so that nothing overlaps with what comes next.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Literal, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from api.errors import ErrorCode
from api.status import ErrorStatus, OperationStatus, StepState, StepStatus
from contracts.activities import activity_id
from contracts.plan import Step, StepKind
from contracts.workflows import OperationInput
from workflows import policies
from workflows.asking import ask
from workflows.checklist import operation_details
from workflows.failures import error_status, is_cancelled

Result = TypeVar("Result")
Runner = Callable[[Step], Awaitable[None]]

PROGRESS_SIGNAL = "progress"


class RenewalError(Exception):
    """The history has become long: a step leaves off, and the next run begins it again."""


class Operation:
    """One plan being walked, with its status; made by a workflow in its ``__init__``.

    When failed attempts have made the history long, the workflow continues as new and walks the plan again: as
    each step ensures, those that were done find that they are.
    """

    def __init__(self, start: OperationInput) -> None:
        """Take what the workflow was started with; nothing runs before ``walk``."""
        self._start = start
        self._paused = start.paused
        self._retries = 0
        self._changed = False
        self._over = False
        self._cancelled = False
        self._renewing = False
        self._attempts = _attempts(start.carried)
        self._steps = {step.name: StepStatus(name=step.name, title=step.title) for step in start.plan.steps}
        self._asked_at = workflow.now()
        self.status = OperationStatus(
            id=workflow.info().workflow_id,
            type=start.plan.operation,
            started_at=start.carried.started_at if start.carried else self._asked_at,
            steps=list(self._steps.values()),
            revision=start.carried.revision if start.carried else 0,
        )

    def pause(self) -> None:
        """Start no further step or attempt until ``resume``."""
        self._paused, self._asked_at = True, workflow.now()

    def resume(self) -> None:
        """Go on."""
        self._paused, self._asked_at = False, workflow.now()

    def retry(self) -> None:
        """Try again now what waits for its next attempt."""
        self._retries += 1
        self._asked_at = workflow.now()

    async def walk(self, runners: Mapping[StepKind, Runner]) -> None:
        """Run all steps.

        Raises ``ApplicationError`` with the first final error once nothing more can run, and
        ``asyncio.CancelledError`` when cancelled, after the running activities have ended. Doesn't return when the
        workflow continues as new.
        """
        reporter = asyncio.create_task(self._report())
        steps = [asyncio.create_task(self._run(step, runners[step.kind])) for step in self._start.plan.steps]
        try:
            await workflow.wait_condition(
                lambda: all(step.done() for step in steps) or any(map(_is_broken, steps))
            )
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is None:
                raise  # a worker evicts the run; nothing may be done any more
            await self._cancel(steps)
            await self._finish("Cancelled", reporter)
            raise
        await asyncio.gather(*steps)
        if self._renewing and not self.status.last_error:
            # Between attempts; they are counted on, so that waits stay as long as they were.
            update = {"paused": self._paused, "carried": self.status}
            workflow.continue_as_new(self._start.model_copy(update=update))
        await self._finish("Failed" if self.status.last_error else "Succeeded", reporter)
        if self.status.last_error:
            error = self.status.last_error
            raise ApplicationError(error.message, type=error.code, non_retryable=True)

    async def call(
        self,
        step: Step,
        activity: str,
        queue: str,
        argument: Any,
        result_type: type[Result],
        *,
        summary: str = "",
        given_up: Callable[[ErrorStatus, int], bool] = lambda _error, _attempt: False,
    ) -> Result:
        """Run one activity until it succeeds; failures are shown in the step's line.

        ``summary`` tells attempts of one activity apart in the Web UI, such as a machine's name; ``given_up``
        says of a failure, and how many there were, whether it is final. Raises ``ActivityError`` when the error
        is final, ``RenewalError`` when the step is to leave off.
        """
        attempt = self._attempts.get(step.name, 1) - 1
        while True:
            attempt += 1
            await workflow.wait_condition(lambda: self._cancelled or self._renewing or not self._paused)
            self._check_wanted()
            try:
                result = await ask(
                    activity,
                    queue,
                    argument,
                    result_type,
                    f"{step.title}: {summary}" if summary else step.title,
                    activity_id=activity_id(step.name, activity, summary, attempt),
                    on_cancel=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                )
            except ActivityError as error:
                described = error_status(error, queue)
                if is_cancelled(error) or given_up(described, attempt):
                    raise
                if not described.retryable or 0 < step.max_attempts <= attempt:
                    raise
                await self.hold(step, attempt, described)
            else:
                self._recovered(step)
                return result

    async def _run(self, step: Step, runner: Runner) -> None:
        status = self._steps[step.name]
        needs = [self._steps[name] for name in step.needs]
        await workflow.wait_condition(lambda: self._stops or all(need.state is StepState.DONE for need in needs))
        if self._paused and workflow.patched("paused-steps-wait"):
            await workflow.wait_condition(lambda: self._stops or not self._paused)
        if self._stops:
            return
        status.state, status.started_at = StepState.RUNNING, workflow.now()
        status.attempt = self._attempts.get(step.name, 1)
        self._note()
        try:
            await runner(step)
        except ActivityError as error:
            if is_cancelled(error):
                raise asyncio.CancelledError from error
            self._final(status, error_status(error))
        except ApplicationError as error:
            self._final(status, error_status(error))
        except RenewalError:
            return
        else:
            status.state, status.finished_at = StepState.DONE, workflow.now()
        self._note()

    async def hold(self, step: Step, attempt: int, error: ErrorStatus) -> None:
        """Show that attempt ``attempt`` of a step failed, and wait until the next one is due or asked for."""
        if self._cancelled and workflow.patched("cancelled-holds-nothing"):
            raise asyncio.CancelledError
        status = self._steps[step.name]
        pause = policies.backoff(attempt)
        status.last_error = error
        status.attempt = max(status.attempt, attempt + 1)
        status.next_retry_time = workflow.now() + pause
        self._note()
        await self._wait_for_retry(step, pause, error)
        status.next_retry_time = None
        if workflow.info().is_continue_as_new_suggested() and workflow.patched("renew-operations"):
            self._renewing = True
        self._check_wanted()

    def _check_wanted(self) -> None:
        """Raise when no further attempt is to be made."""
        if self._cancelled:
            # The activity before may have ended well in spite of the cancellation, which is then used up.
            raise asyncio.CancelledError
        if self._renewing:
            raise RenewalError

    async def _wait_for_retry(self, step: Step, pause: timedelta, error: ErrorStatus) -> None:
        asked = self._retries
        try:
            await workflow.wait_condition(
                lambda: self._renewing or self._retries > asked,
                timeout=pause,
                timeout_summary=f"{step.title}: next attempt after {error.code}",
            )
        except TimeoutError:
            return

    def _recovered(self, step: Step) -> None:
        status = self._steps[step.name]
        if status.last_error:
            status.last_error, self._asked_at = None, workflow.now()
            self._note()

    def _final(self, status: StepStatus, error: ErrorStatus) -> None:
        status.state, status.finished_at, status.last_error = StepState.FAILED, workflow.now(), error
        if not self.status.last_error:
            self.status.last_error = error

    async def _finish(
        self, outcome: Literal["Succeeded", "Failed", "Cancelled"], reporter: "asyncio.Task[None]"
    ) -> None:
        self.status.outcome = outcome
        self.status.finished_at = workflow.now()
        self._note()
        self._over = True
        await _to_its_end(reporter)

    @property
    def _stops(self) -> bool:
        return self._renewing or bool(self.status.last_error)

    async def _cancel(self, steps: list["asyncio.Task[None]"]) -> None:
        self._cancelled = True
        for step in steps:
            step.cancel()
        await asyncio.gather(*steps, return_exceptions=True)

    def _note(self) -> None:
        workflow.set_current_details(operation_details(self.status))
        self._changed = True

    async def _report(self) -> None:
        """Tell the parent, once for all that changes in one task. Only the last signal is waited for.

        The longer an operation has been left alone, the seldomer: its parent's history has to hold all signals.
        """
        parent = workflow.info().parent
        if parent is None:
            return
        handle = workflow.get_external_workflow_handle(parent.workflow_id, run_id=parent.run_id)
        while True:
            await workflow.wait_condition(lambda: self._changed or self._over)
            if not self._changed:
                return
            self._changed = False
            if self._over or not workflow.patched("progress-is-not-waited-for"):
                await self._tell(handle)
            else:
                # Nobody else has to keep it: the workflow's loop keeps all tasks until they are done.
                asyncio.create_task(self._tell(handle))  # noqa: RUF006
            await self._rest()

    async def _tell(self, parent: "workflow.ExternalWorkflowHandle[Any]") -> None:
        self.status.revision += 1
        with contextlib.suppress(ApplicationError):  # a parent that takes no more signals learns the result
            await parent.signal(PROGRESS_SIGNAL, self.status)

    async def _rest(self) -> None:
        asked_at = self._asked_at
        rest = policies.report_interval(workflow.now() - asked_at)
        if rest and workflow.patched("rest-between-reports"):
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._over or self._asked_at != asked_at, timeout=rest, timeout_summary="next report"
                )


async def all_of(*parts: Awaitable[Result]) -> list[Result]:
    """Run the parts of a step side by side and return their results.

    When one fails the others go on, and what it raised is raised when all have ended: nothing that a failed step
    has begun may still run when something else begins.
    """
    ended = await asyncio.gather(*parts, return_exceptions=True)
    raised = [result for result in ended if isinstance(result, BaseException)]
    for error in sorted(raised, key=lambda error: isinstance(error, RenewalError)):
        raise error
    return [result for result in ended if not isinstance(result, BaseException)]


async def _to_its_end(task: "asyncio.Task[None]") -> None:
    """Wait for a task; a cancellation that comes meanwhile comes too late."""
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if workflow.cancellation_reason() is None:
                raise  # a worker evicts the run


def _is_broken(step: "asyncio.Task[None]") -> bool:
    """Return whether a step raised what no step should, which is to fail the workflow task, where it is seen."""
    return step.done() and not step.cancelled() and step.exception() is not None


def _attempts(carried: OperationStatus | None) -> dict[str, int]:
    """Return which attempt is the next one, for the steps that an earlier run left off."""
    unfinished = [step for step in carried.steps if step.state is StepState.RUNNING] if carried else []
    return {step.name: step.attempt for step in unfinished}


def internal(message: str) -> ApplicationError:
    """Return a final error for what must not happen."""
    return ApplicationError(message, type=ErrorCode.INTERNAL, non_retryable=True)
