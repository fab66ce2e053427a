"""What the entity remembers of operations that have ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from api.resource import ClusterResourceStatus
from api.status import ErrorStatus, OperationRecord, OperationStatus, Phase, StepState, StepStatus
from contracts.workflows import ApplyRequest, ClusterInput
from tests.support.resources import cluster, cluster_input
from workflows.entity import Entity, new_entity

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ERROR = ErrorStatus(code="VaultSealed", message="it is sealed", retryable=True, hint="unseal it")


def entity() -> Entity:
    return new_entity(cluster_input(), "c1", NOW)


def repair(number: int) -> OperationStatus:
    """Return the operation that begins after so many seconds, and ends half a second later."""
    begun = NOW + number * SECOND
    return OperationStatus(
        id=f"c/repair/{number}",
        type="RepairMachine",
        started_at=begun,
        finished_at=begun + SECOND / 2,
        outcome="Succeeded",
    )


def test_the_last_ten_operations_are_kept_the_newest_at_the_end() -> None:
    one = entity()
    for number in range(12):
        one.operation = repair(number)
        one.end_operation(NOW + timedelta(hours=1))
    wanted = [
        OperationRecord(
            id=f"c/repair/{number}",
            type="RepairMachine",
            started_at=NOW + number * SECOND,
            finished_at=NOW + (number + 0.5) * SECOND,
            outcome="Succeeded",
        )
        for number in range(2, 12)
    ]
    assert one.status().recent_operations == wanted
    assert len(wanted) == ClusterResourceStatus.model_json_schema()["properties"]["recentOperations"]["maxItems"]


def continued(one: Entity) -> Entity:
    """Return the state at the start of the run after."""
    renewed = ClusterInput.model_validate({**cluster_input().model_dump(), "carried": one.carried()})
    return new_entity(renewed, "c2", NOW)


def test_the_next_run_knows_them_too() -> None:
    one = entity()
    for number in range(12):
        one.operation = repair(number)
        one.end_operation(NOW)
    again = continued(one)
    assert (again.recent, again.operation) == (one.recent, one.operation)
    again.operation = repair(12)
    again.end_operation(NOW)
    assert [record.id for record in again.recent] == [f"c/repair/{number}" for number in range(3, 13)]


def test_the_next_run_knows_that_a_create_failed_halfway() -> None:
    """Another spec would not create what is there already."""
    one, other = entity(), cluster(release="1.36.3-1").spec
    done = StepStatus(name="claim", title="Claim", state=StepState.DONE, started_at=NOW, finished_at=NOW)
    failed = {"finished_at": NOW, "outcome": "Failed", "last_error": ERROR, "steps": [done]}
    one.phase, one.operation = Phase.FAILED, repair(0).model_copy(update=failed)
    assert not continued(one).wants_other(other)
    one.operation = one.operation.model_copy(update={"steps": []})
    assert continued(one).wants_other(other)


def test_the_next_run_plans_anew_what_had_not_begun() -> None:
    one = entity()
    one.operation = repair(0).model_copy(update={"finished_at": None, "outcome": None})
    assert continued(one).operation is None


def test_a_failure_tells_why() -> None:
    one = entity()
    one.operation = repair(0).model_copy(update={"outcome": "Failed", "last_error": ERROR})
    one.end_operation(NOW)
    assert [(record.outcome, record.message) for record in one.recent] == [("Failed", "it is sealed")]


def test_an_operation_that_was_terminated_failed_when_that_was_noticed() -> None:
    """It could not tell its end: its step would seem to run for ever."""
    one, ended = entity(), NOW + timedelta(minutes=1)
    done = StepStatus(name="claim", title="Claim", state=StepState.DONE, started_at=NOW, finished_at=NOW)
    running = StepStatus(
        name="boot", title="Boot", state=StepState.RUNNING, started_at=NOW, attempt=2, next_retry_time=ended
    )
    waiting = StepStatus(name="api", title="Wait")
    one.operation = OperationStatus(
        id="c/create", type="CreateCluster", started_at=NOW, steps=[done, running, waiting]
    )
    one.end_operation(ended)
    stopped = StepStatus(
        name="boot", title="Boot", state=StepState.FAILED, started_at=NOW, finished_at=ended, attempt=2
    )
    assert one.operation == OperationStatus(
        id="c/create",
        type="CreateCluster",
        started_at=NOW,
        finished_at=ended,
        outcome="Failed",
        steps=[done, stopped, waiting],
    )
    assert one.recent == [
        OperationRecord(id="c/create", type="CreateCluster", started_at=NOW, finished_at=ended, outcome="Failed")
    ]


def applied(**certificates: Any) -> ApplyRequest:
    return ApplyRequest(spec=cluster(certificates=certificates).spec)


def test_an_interval_that_is_too_long_for_what_stays_as_it_is_is_refused() -> None:
    one = new_entity(cluster_input(certificates={"leafTTLHours": 48}), "c1", NOW)
    with pytest.raises(ApplicationError, match="half of the shortest lifetime"):
        one.check_apply(applied(rotationIntervalDays=3))
    one.check_apply(applied(rotationIntervalDays=3, leafTTLHours=168))


def test_another_interval_is_planned_at_once() -> None:
    one = entity()
    one.rotate_at = NOW
    assert one.change(applied(rotationIntervalDays=3).spec)
    assert one.rotate_at is None
    assert one.context.spec.certificates.rotation_interval_days == 3
