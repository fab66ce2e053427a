"""One cluster as the command line talks with it: questions and messages to its entity workflow."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import QueryRejectCondition
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from api.status import ClusterStatus, Phase
from contracts import queues
from contracts.workflows import CLUSTER, Accesses, CertificatesAnswer, workflow_id
from deploy.paths import state_dir
from deploy.stack import Stack, StackError
from workers.cli.errors import CliError, NoAnswerError, explained

Answer = TypeVar("Answer", bound=BaseModel)

ANSWER = timedelta(seconds=5)
"""How long a worker may take to answer; it answers in milliseconds when there is one."""
UPDATE = timedelta(seconds=40)
"""How long an update may take that has something signed by Vault."""

AGAIN = "Start it again to have it: `temporal workflow start`, see the cheat sheet in README.md."
CORRECT = "Correct that and start it again."

_SILENT = {RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.FAILED_PRECONDITION}
BUSY = {Phase.PENDING, Phase.CREATING, Phase.REPAIRING, Phase.DELETING}
"""Phases in which something is done, or will be without being asked for."""


@dataclass(frozen=True)
class Look:
    """What was seen of a cluster. ``ending`` says how its workflow ended, and is empty while that runs."""

    status: ClusterStatus
    ending: str = ""

    @property
    def settled(self) -> bool:
        """Whether nothing more happens by itself; of a deleted cluster the ending is still to come."""
        operation = self.status.operation
        under_way = operation is not None and operation.outcome is None
        return bool(self.ending) or not (under_way or self.status.phase in BUSY | {Phase.DELETED})

    @property
    def deserted(self) -> bool:
        """Whether its workflow has ended without deleting the cluster."""
        return bool(self.ending) and self.status.phase is not Phase.DELETED

    @property
    def failed(self) -> bool:
        """Whether the last operation ended badly, a machine is not well, or the workflow ended too early."""
        return self.status.phase in {Phase.FAILED, Phase.DEGRADED} or self.deserted


class ClusterClient:
    """The entity workflow of one cluster. Every method raises CliError, NoAnswerError for who is silent."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        """Take a connection and the cluster's name."""
        self.label = f"{namespace}/{name}"
        self.workflow = workflow_id(namespace, name)
        self._handle = client.get_workflow_handle(self.workflow, result_type=str)

    async def look(self) -> Look:
        """Ask for the status."""
        try:
            return self._own(Look(await self._status(QueryRejectCondition.NOT_OPEN)))
        except WorkflowQueryRejectedError:
            ending = await self._ending()
        return self._own(Look(await self._status(None, ending), ending))

    def _own(self, look: Look) -> Look:
        """Return a look at this cluster; CliError when its workflow was started for another one."""
        found = f"{look.status.namespace}/{look.status.name}"
        if found == self.label:
            return look
        message = f"the workflow {self.workflow} is of the cluster {found}: {look.ending or 'it is refused'}"
        raise CliError(message, CORRECT)

    async def send(self, update: str, argument: BaseModel, answer: type[Answer]) -> Answer:
        """Send an update and return its answer; CliError with the workflow's own words when it refuses."""
        try:
            # A limit on the request would not do: the client asks again when the server ends a long poll.
            async with asyncio.timeout(UPDATE.total_seconds()):
                result: Answer = await self._handle.execute_update(update, argument, result_type=answer)
        except WorkflowUpdateFailedError as error:
            raise CliError(f"{self.label} refused: {_reason(error)}", "Nothing was changed.") from error
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise await self._no_answer(UPDATE) from error
        except RPCError as error:
            raise await self._known(error, UPDATE) from error
        return result

    async def certificates(self) -> CertificatesAnswer:
        """Ask for the machines' certificates; CliError when the cluster's workflow has ended."""
        return await self._living("certificates", CertificatesAnswer)

    async def accesses(self) -> Accesses:
        """Ask for the certificates that people were given; CliError when the cluster's workflow has ended."""
        return await self._living("accesses", Accesses)

    async def _living(self, name: str, answer: type[Answer]) -> Answer:
        try:
            return await self._query(name, answer, QueryRejectCondition.NOT_OPEN)
        except WorkflowQueryRejectedError as error:
            raise CliError(f"{self.label} has ended: {await self._ending()}", AGAIN) from error

    async def _status(self, condition: QueryRejectCondition | None, ending: str = "") -> ClusterStatus:
        return await self._query("status", ClusterStatus, condition, ending)

    async def _query(
        self, name: str, result_type: type[Answer], condition: QueryRejectCondition | None, ending: str = ""
    ) -> Answer:
        try:
            answer: Answer = await self._handle.query(
                name, result_type=result_type, reject_condition=condition, rpc_timeout=ANSWER
            )
        except WorkflowQueryFailedError as error:
            raise CliError(f"{self.label} has no {name}: {ending or error}", CORRECT) from error
        except RPCError as error:
            raise await self._known(error, ANSWER) from error
        return answer

    async def _ending(self) -> str:
        """Return how the last run ended, in a sentence."""
        try:
            ending: str = await self._handle.result()
        except WorkflowFailureError as error:
            if isinstance(error.cause, TerminatedError):
                return "the workflow was terminated; started again it adopts what exists of the cluster"
            if isinstance(error.cause, CancelledError):
                return "the workflow was cancelled, and what it had begun was undone"
            return f"the workflow failed: {_reason(error)}"
        return ending

    async def _known(self, error: RPCError, patience: timedelta) -> CliError:
        if error.status is RPCStatusCode.NOT_FOUND or error.status in _SILENT:
            return await self._no_answer(patience)
        return explained(error)

    async def _no_answer(self, patience: timedelta) -> CliError:
        """Return why the workflow gives no answer: it is not there, has ended, was started wrongly, or waits."""
        try:
            found = await self._handle.describe(rpc_timeout=ANSWER)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return CliError(f"there is no cluster {self.label}", "See which ones there are: g8s list")
            return explained(error)
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return NoAnswerError(f"{self.label} has ended: {await self._ending()}", AGAIN)
        if mistake := _mistake(found):
            hint = f"End it (temporal workflow terminate --workflow-id {self.workflow}) and start it again: "
            return CliError(mistake, f"{hint}--type {CLUSTER} --task-queue {queues.CLUSTERS}")
        return NoAnswerError(f"no worker answered for {self.label} within {patience.seconds} s", _worker_hint())


def _mistake(found: WorkflowExecutionDescription) -> str:
    """Return what is wrong with how a workflow was started, nothing if it is a cluster's."""
    if found.workflow_type != CLUSTER:
        return f"the workflow {found.id} was started with the type {found.workflow_type}, not {CLUSTER}"
    if found.task_queue != queues.CLUSTERS:
        return f"the workflow {found.id} was started on the task queue {found.task_queue}, not {queues.CLUSTERS}"
    return ""


def _worker_hint() -> str:
    """Return where to look when no worker answers."""
    try:
        stack = Stack.read(state_dir())
    except StackError:
        stack = None
    log = f" Its log: {stack.logs / 'worker.log'}" if stack else ""
    return f"Look whether the worker runs: `just status`.{log}"


def _reason(error: WorkflowUpdateFailedError | WorkflowFailureError) -> str:
    cause: Any = error.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause)
