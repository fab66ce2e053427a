"""One cluster as the command line talks with it: questions and messages to its entity workflow."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio.client import (
    Client,
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
from contracts.workflows import workflow_id
from workers.cli.errors import CliError, NoAnswerError, explained

Answer = TypeVar("Answer", bound=BaseModel)

ANSWER = timedelta(seconds=5)
"""How long a worker may take to answer; it answers in milliseconds when there is one."""
UPDATE = timedelta(seconds=40)
"""How long an update may take that has something signed by Vault."""

WORKER = "Look at the worker: `just status` says whether it runs, and where its log is."

_SILENT = {RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.FAILED_PRECONDITION}
BUSY = {Phase.PENDING, Phase.CREATING, Phase.DELETING}
"""Phases in which something is done, or will be without being asked for."""


@dataclass(frozen=True)
class Look:
    """What was seen of a cluster. ``ending`` says how its workflow ended, and is empty while that runs."""

    status: ClusterStatus
    ending: str = ""

    @property
    def settled(self) -> bool:
        """Whether nothing more happens by itself."""
        return bool(self.ending) or self.status.phase not in BUSY

    @property
    def failed(self) -> bool:
        """Whether the last operation ended badly, or its workflow without deleting the cluster."""
        return self.status.phase is Phase.FAILED or bool(self.ending and self.status.phase is not Phase.DELETED)


class ClusterClient:
    """The entity workflow of one cluster. Every method raises CliError, NoAnswerError for who is silent."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        """Take a connection and the cluster's name."""
        self.label = f"{namespace}/{name}"
        self._handle = client.get_workflow_handle(workflow_id(namespace, name), result_type=str)

    async def look(self) -> Look:
        """Ask for the status."""
        try:
            return Look(await self._status(QueryRejectCondition.NOT_OPEN))
        except WorkflowQueryRejectedError:
            ending = await self._ending()
        return Look(await self._status(None, ending), ending)

    async def send(self, update: str, argument: BaseModel, answer: type[Answer]) -> Answer:
        """Send an update and return its answer; CliError with the workflow's own words when it refuses."""
        try:
            # A limit on the request would not do: the client asks again when the server ends a long poll.
            async with asyncio.timeout(UPDATE.total_seconds()):
                result: Answer = await self._handle.execute_update(update, argument, result_type=answer)
        except WorkflowUpdateFailedError as error:
            raise CliError(f"{self.label} refused: {_reason(error)}", "Nothing was changed.") from error
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise self._silent(UPDATE) from error
        except RPCError as error:
            raise self._known(error, UPDATE) from error
        return result

    async def _status(self, condition: QueryRejectCondition | None, ending: str = "") -> ClusterStatus:
        try:
            status: ClusterStatus = await self._handle.query(
                "status", result_type=ClusterStatus, reject_condition=condition, rpc_timeout=ANSWER
            )
        except WorkflowQueryFailedError as error:
            raise CliError(
                f"{self.label} has no status: {ending or error}", "Correct that and start it again."
            ) from error
        except RPCError as error:
            raise self._known(error, ANSWER) from error
        return status

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

    def _known(self, error: RPCError, patience: timedelta) -> CliError:
        if error.status is RPCStatusCode.NOT_FOUND:
            return CliError(f"there is no cluster {self.label}", "See which ones there are: g8s list")
        return self._silent(patience) if error.status in _SILENT else explained(error)

    def _silent(self, patience: timedelta) -> NoAnswerError:
        return NoAnswerError(f"no worker answered for {self.label} within {patience.seconds} s", WORKER)


def _reason(error: WorkflowUpdateFailedError | WorkflowFailureError) -> str:
    cause: Any = error.cause
    return cause.message if isinstance(cause, ApplicationError) else str(cause)
