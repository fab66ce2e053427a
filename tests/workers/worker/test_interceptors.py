"""What every activity gets around it: errors with a name, log fields, heartbeats, a metric."""

import time
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment

from api.errors import ERRORS, ErrorCode
from contracts.errors import StepError
from contracts.machines import ClusterReference
from tests.workers.worker.probe import ProbeWorkflow
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import Queue, make_workers

SECRET = "hunter2-hunter2"


@activity.defn(name="known")
def known(reference: ClusterReference) -> None:
    """Fail in a way that has a name."""
    raise StepError(ErrorCode.QUOTA_EXCEEDED, f"{reference.name} is one too many")


@activity.defn(name="unknown")
def unknown(reference: ClusterReference) -> None:
    """Fail in a way that nobody thought of."""
    raise KeyError(SECRET)


@activity.defn(name="slow")
def slow(reference: ClusterReference) -> None:
    """Take longer than the heartbeat timeout."""
    time.sleep(3)


async def run(environment: WorkflowEnvironment, name: str) -> None:
    """Run one of the activities above in a workflow."""
    queue = f"probe-{name}"
    workers = make_workers(
        environment.client, [Queue(queue, [known, unknown, slow], [ProbeWorkflow])], [ActivityBoundary()]
    )
    async with workers[0]:
        await environment.client.execute_workflow(
            ProbeWorkflow.run, name, id=queue, task_queue=queue, retry_policy=RetryPolicy(maximum_attempts=1)
        )


async def failure(environment: WorkflowEnvironment, name: str) -> ApplicationError:
    """Return how an activity failed, as the workflow saw it."""
    with pytest.raises(WorkflowFailureError) as error:
        await run(environment, name)
    assert isinstance(error.value.cause, ActivityError)
    assert isinstance(error.value.cause.cause, ApplicationError)
    return error.value.cause.cause


async def test_a_known_failure_keeps_its_code_message_and_hint(temporal: WorkflowEnvironment) -> None:
    with structlog.testing.capture_logs() as logs:
        found = await failure(temporal, "known")
    assert (found.type, found.message) == ("QuotaExceeded", "demo is one too many")
    assert found.non_retryable
    assert found.details[0]["hint"] == ERRORS[ErrorCode.QUOTA_EXCEEDED].hint
    [entry] = [log for log in logs if log["event"] == "step failed"]
    assert entry["code"] == "QuotaExceeded"


async def test_an_unknown_failure_tells_its_type_alone(temporal: WorkflowEnvironment) -> None:
    found = await failure(temporal, "unknown")
    assert found.type == "Internal"
    assert "KeyError" in found.message
    assert SECRET not in str(found)
    assert SECRET not in str(found.__cause__)


async def test_a_long_activity_heartbeats_by_itself(temporal: WorkflowEnvironment) -> None:
    await run(temporal, "slow")


async def test_log_lines_say_which_cluster(temporal: WorkflowEnvironment) -> None:
    seen: list[dict[str, Any]] = []

    def keep(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        seen.append({**structlog.contextvars.get_contextvars(), **event})
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[keep])
    try:
        await failure(temporal, "known")
    finally:
        structlog.configure(processors=before)
    [entry] = [entry for entry in seen if entry["event"] == "step failed"]
    expected = {"cluster": "demo", "cluster_id": "c1", "namespace": "default", "operation": "Probe", "attempt": 1}
    assert expected.items() <= entry.items()
