"""What a resource tells of its cluster, as tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cluster import ClusterSpec
from api.errors import ERRORS, ErrorCode
from api.resource import ClusterResourceStatus, Condition
from api.status import ClusterStatus, ErrorStatus, OperationRecord, OperationStatus, Phase, StepState, StepStatus
from contracts.reporting import ApiHealth, ResourceReference, StatusReport
from planning.reporting import resource_status, tells_the_same
from tests.support.resources import cluster_document

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
WELL = ApiHealth(
    available=True,
    message="answers",
    control_plane=["control-plane-1"],
    nodes=["workers-1", "workers-2"],
    certificate_expires_at=NOW + timedelta(days=7),
)
ERROR = ErrorStatus(code="VaultSealed", message="it is sealed", retryable=True, hint="unseal it")


def report(
    *,
    at: datetime = NOW,
    health: ApiHealth | None = WELL,
    deleting: bool = False,
    first_end: datetime | None = None,
    **status: Any,
) -> StatusReport:
    """Return the report of a living cluster that is well, but for what is given."""
    given = {
        "name": "demo",
        "namespace": "default",
        "cluster_id": "c1",
        "phase": Phase.RUNNING,
        "generation": 1,
        "observed_generation": 1,
        "endpoint": "https://127.64.1.11:6443",
        **status,
    }
    return StatusReport(
        resource=ResourceReference(namespace="default", name="demo", uid="u"),
        sequence=7,
        reported_at=at,
        spec=ClusterSpec.model_validate(cluster_document()["spec"]),
        status=ClusterStatus(**given),
        health=health,
        deleting=deleting,
        certificate_expires_at=first_end,
    )


def create(*steps: StepStatus, **changes: Any) -> OperationStatus:
    return OperationStatus(id="c/create", type="CreateCluster", started_at=NOW, steps=list(steps), **changes)


def told(given: StatusReport, before: ClusterResourceStatus | None = None) -> ClusterResourceStatus:
    return resource_status(given, before or ClusterResourceStatus())


def verdicts(given: StatusReport) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in told(given).conditions}


TERMINATED = create(outcome="Failed", finished_at=NOW)
"""An operation that could not tell why it has ended: only what its cluster waits for says that."""

NEW: dict[str, Any] = {"phase": Phase.CREATING, "observed_generation": 0, "endpoint": None}
FAILED: dict[str, Any] = {
    **NEW,
    "phase": Phase.FAILED,
    "operation": create(outcome="Failed", last_error=ERROR, finished_at=NOW),
    "recent_operations": [
        OperationRecord(id="c/create", type="CreateCluster", started_at=NOW, finished_at=NOW, outcome="Failed")
    ],
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            report(),
            {
                "Available": ("True", "ApiAnswers"),
                "ControlPlaneReady": ("True", "AllReady"),
                "NodesReady": ("True", "AllReady"),
                "CertificatesValid": ("True", "Valid"),
                "UpToDate": ("True", "Latest"),
                "Progressing": ("False", "Idle"),
                "Degraded": ("False", "Healthy"),
                "Deleting": ("False", "NotDeleting"),
                "Paused": ("False", "NotPaused"),
            },
        ),
        (
            report(health=None, operation=create(), **NEW),
            {
                "Available": ("False", "NotCreated"),
                "ControlPlaneReady": ("False", "NotCreated"),
                "NodesReady": ("False", "NotCreated"),
                "CertificatesValid": ("Unknown", "NotProbed"),
                "UpToDate": ("False", "NotCreated"),
                "Progressing": ("True", "CreateCluster"),
            },
        ),
        (report(health=None), {"Available": ("Unknown", "NotProbed"), "NodesReady": ("Unknown", "NotProbed")}),
        (
            report(health=ApiHealth(available=False, message="no answer")),
            {"Available": ("False", "ApiSilent"), "NodesReady": ("Unknown", "NotProbed")},
        ),
        (
            report(health=ApiHealth(available=None, message="VaultSealed: it is sealed")),
            {"Available": ("Unknown", "NotProbed")},
        ),
        (
            report(health=WELL.model_copy(update={"nodes": ["workers-2"]})),
            {"Available": ("True", "ApiAnswers"), "NodesReady": ("False", "SomeNotReady")},
        ),
        (
            report(health=WELL.model_copy(update={"certificate_expires_at": NOW})),
            {"CertificatesValid": ("False", "Expired")},
        ),
        (report(first_end=NOW), {"CertificatesValid": ("False", "Expired")}),
        (report(first_end=NOW + timedelta(days=6), health=None), {"CertificatesValid": ("True", "Valid")}),
        (report(health=None), {"CertificatesValid": ("Unknown", "NotProbed")}),
        (report(unrenewed={"workers-1": "DiskFull: x"}), {"CertificatesValid": ("False", "NotRenewed")}),
        (report(stale_clients=["kubelet-client of workers-1"]), {"CertificatesValid": ("False", "NotRenewed")}),
        (report(first_end=NOW, unrenewed={"workers-1": "x"}), {"CertificatesValid": ("False", "Expired")}),
        (report(generation=2), {"UpToDate": ("False", "ChangePending")}),
        (report(health=None, **FAILED), {"Degraded": ("True", "VaultSealed"), "Progressing": ("False", "Idle")}),
        (
            report(phase=Phase.DEGRADED, waiting_on="machine workers-1 is Stopped"),
            {"Degraded": ("True", "MachinesNotWell")},
        ),
        (report(waiting_on="VaultSealed: it is sealed"), {"Degraded": ("True", "Waiting")}),
        (
            report(health=None, **{**NEW, "phase": Phase.FAILED, "waiting_on": "UnknownRelease: there is none"}),
            {"Degraded": ("True", "UnknownRelease"), "Progressing": ("False", "Idle")},
        ),
        (
            report(health=None, **{**FAILED, "operation": TERMINATED, "waiting_on": "Internal: terminated"}),
            {"Degraded": ("True", "Internal"), "Progressing": ("False", "Idle")},
        ),
        (
            report(deleting=True, phase=Phase.DELETING),
            {"Deleting": ("True", "DeletionAskedFor"), "Available": ("False", "DeletionAskedFor")},
        ),
        (report(paused=True), {"Paused": ("True", "Paused")}),
    ],
)
def test_conditions(given: StatusReport, expected: dict[str, tuple[str, str]]) -> None:
    found = verdicts(given)
    assert {kind: found[kind] for kind in expected} == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            report(phase=Phase.DEGRADED),
            "an operation ended unfinished: machines are looked at within a minute",
        ),
        (
            report(health=None, **{**NEW, "phase": Phase.FAILED, "waiting_on": "UnknownRelease: there is none"}),
            f"there is none; {ERRORS[ErrorCode.UNKNOWN_RELEASE].hint}",
        ),
        (report(health=None, **FAILED), f"{ERROR.message}; {ERROR.hint}"),
    ],
    ids=["an operation ended unfinished", "nothing could be planned", "the create failed"],
)
def test_what_is_degraded_says_why_and_what_to_do(given: StatusReport, message: str) -> None:
    [found] = [condition for condition in told(given).conditions if condition.type == "Degraded"]
    assert found.message == message


def test_what_was_not_renewed_is_named_with_the_day_on_which_it_matters() -> None:
    given = report(
        unrenewed={"workers-1": "MachineNotReady: no answer"}, stale_clients=["kubelet-client of workers-2"]
    )
    [found] = [condition for condition in told(given).conditions if condition.type == "CertificatesValid"]
    assert found.message == (
        "the first ends at 2026-12-03T12:00:00Z; workers-1 was not renewed (MachineNotReady: no answer); "
        "kubelet-client of workers-2 goes on with its old certificate"
    )


def test_a_doubt_is_taken_back_only_by_who_was_heard() -> None:
    first = told(report())
    doubted = [
        item.model_copy(update={"status": "Unknown", "reason": "NotReported"})
        if item.type == "Available"
        else item
        for item in first.conditions
    ]
    before = first.model_copy(update={"conditions": doubted})
    assert reason(told(report(), before), "Available") == "NotReported"
    heard = report().model_copy(update={"anew": True})
    assert reason(told(heard, before), "Available") == "ApiAnswers"
    assert reason(told(report(deleting=True), before), "Available") == "DeletionAskedFor"


def test_a_cluster_that_lived_is_not_told_to_be_new_while_it_is_adopted() -> None:
    before = told(report())
    found = told(report(health=None, operation=create(), **NEW), before)
    assert {reason(found, kind) for kind in ("Available", "NodesReady")} == {"NotProbed"}
    assert found.endpoint == before.endpoint


def reason(status: ClusterResourceStatus, kind: str) -> str:
    return next(condition.reason for condition in status.conditions if condition.type == kind)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = told(report(health=None))
    later = told(report(at=NOW + timedelta(minutes=1)), first)
    assert transition(later, "Available") == NOW + timedelta(minutes=1)
    assert transition(later, "Degraded") == NOW


def transition(status: ClusterResourceStatus, kind: str) -> datetime:
    return next(condition.last_transition_time for condition in status.conditions if condition.type == kind)


def shown(status: ClusterResourceStatus) -> dict[str, Any]:
    """Return a status as programs read it from the resource, without its conditions."""
    told: dict[str, Any] = status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"conditions"})
    return told


def test_the_status_is_whole() -> None:
    given = report(at=NOW + timedelta(seconds=90, milliseconds=5), generation=3, observed_generation=2)
    found = told(given.model_copy(update={"run_id": "r"}))
    assert shown(found) == {
        "observedGeneration": 3,
        "lastReportedTime": "2026-11-26T12:01:30Z",
        "sequence": 7,
        "phase": "Running",
        "recentOperations": [],
        "endpoint": "https://127.64.1.11:6443",
        "controlPlane": {"desiredReplicas": 1, "readyReplicas": 1, "ready": "1/1"},
        "nodes": {"desiredReplicas": 2, "readyReplicas": 2, "ready": "2/2"},
        "nodePools": [{"name": "workers", "desiredReplicas": 2, "readyReplicas": 2, "ready": "2/2"}],
        "releaseHistory": [{"release": "1.37.2-1", "startedAt": "2026-11-26T12:01:30Z"}],
        "certificatesExpireAt": "2026-12-03T12:00:00Z",
        "clusterId": "c1",
        "workflowId": "cluster/default/demo",
        "runId": "r",
    }


def test_the_operation_under_way_shows_the_step_with_trouble() -> None:
    steps = [
        StepStatus(name="claim", title="Claim", state=StepState.DONE, attempt=9),
        StepStatus(name="boot", title="Boot", state=StepState.RUNNING, attempt=1),
        StepStatus(
            name="secrets",
            title="Make secrets",
            state=StepState.RUNNING,
            attempt=3,
            last_error=ERROR,
            next_retry_time=NOW + timedelta(seconds=62, milliseconds=5),
        ),
        StepStatus(name="api", title="Wait"),
    ]
    waiting = "VaultSealed: it is sealed"
    found = told(report(health=None, operation=create(*steps), waiting_on=waiting, **NEW))
    assert shown(found)["operation"] == {
        "id": "c/create",
        "type": "CreateCluster",
        "progress": "1/4",
        "step": "Make secrets",
        "stepIndex": 1,
        "stepCount": 4,
        "attempt": 3,
        "startedAt": "2026-11-26T12:00:00Z",
        "waitingOn": "VaultSealed: it is sealed",
        "lastError": {
            "code": "VaultSealed",
            "message": "it is sealed",
            "retryable": True,
            "hint": "unseal it",
        },
        "nextRetryTime": "2026-11-26T12:01:02Z",
        "cancellable": True,
    }


def test_an_operation_between_two_steps_shows_none() -> None:
    """The errors of a step that is done are over."""
    done = StepStatus(name="claim", title="Claim", state=StepState.DONE, attempt=2, last_error=ERROR)
    given = report(health=None, operation=create(done, StepStatus(name="api", title="Wait")), **NEW)
    assert shown(told(given))["operation"] == {
        "id": "c/create",
        "type": "CreateCluster",
        "progress": "1/2",
        "step": "",
        "stepIndex": 1,
        "stepCount": 2,
        "attempt": 0,
        "startedAt": "2026-11-26T12:00:00Z",
        "waitingOn": "",
        "cancellable": True,
    }


@pytest.mark.parametrize(
    ("kind", "deleting", "cancellable"),
    [
        ("CreateCluster", False, True),
        ("CreateCluster", True, False),
        ("RepairMachine", False, True),
        ("RepairMachine", True, False),
        ("DeleteCluster", True, False),
        ("DeleteCluster", False, False),
    ],
)
def test_what_could_be_stopped_is_cancellable(kind: str, *, deleting: bool, cancellable: bool) -> None:
    """An undone create runs ``DeleteCluster`` though nobody asked for a deletion."""
    operation = create().model_copy(update={"type": kind})
    found = told(report(deleting=deleting, operation=operation)).operation
    assert found is not None
    assert (found.type, found.cancellable) == (kind, cancellable)


def test_long_texts_are_cut() -> None:
    """The schema takes no more than 1024 characters."""
    error = ERROR.model_copy(update={"message": "e" * 2000})
    step = StepStatus(name="boot", title="Boot", state=StepState.RUNNING, attempt=1, last_error=error)
    record = OperationRecord(
        id="c/repair", type="RepairMachine", started_at=NOW, finished_at=NOW, outcome="Failed", message="r" * 2000
    )
    found = told(report(operation=create(step), waiting_on="w" * 2000, recent_operations=[record]))
    assert found.operation is not None
    assert found.operation.last_error == error.model_copy(update={"message": "e" * 1000})
    assert (found.operation.waiting_on, found.recent_operations[0].message) == ("w" * 1000, "r" * 1000)


def test_an_operation_that_ended_is_among_the_recent_ones_alone() -> None:
    records = [
        OperationRecord(
            id="c/create",
            type="CreateCluster",
            started_at=NOW,
            finished_at=NOW + timedelta(seconds=12.6),
            outcome="Succeeded",
            requested_by="alice",
        ),
        OperationRecord(
            id="c/repair",
            type="RepairMachine",
            started_at=NOW + timedelta(minutes=1),
            finished_at=NOW + timedelta(minutes=2),
            outcome="Failed",
            message="it is sealed",
        ),
    ]
    ended = create(outcome="Succeeded", finished_at=NOW)
    found = shown(told(report(operation=ended, recent_operations=records)))
    assert "operation" not in found
    assert found["recentOperations"] == [
        {
            "id": "c/create",
            "type": "CreateCluster",
            "startedAt": "2026-11-26T12:00:00Z",
            "finishedAt": "2026-11-26T12:00:12Z",
            "durationSeconds": 13,
            "outcome": "Succeeded",
            "message": "",
            "requestedBy": "alice",
        },
        {
            "id": "c/repair",
            "type": "RepairMachine",
            "startedAt": "2026-11-26T12:01:00Z",
            "finishedAt": "2026-11-26T12:02:00Z",
            "durationSeconds": 60,
            "outcome": "Failed",
            "message": "it is sealed",
            "requestedBy": "",
        },
    ]


@pytest.mark.parametrize("outcome", [None, "Succeeded"])
@pytest.mark.parametrize("ended", [False, True])
def test_an_operation_is_shown_as_long_as_the_cluster_progresses(outcome: str | None, *, ended: bool) -> None:
    record = OperationRecord(
        id="c/create", type="CreateCluster", started_at=NOW, finished_at=NOW, outcome="Succeeded"
    )
    found = told(report(operation=create(outcome=outcome), recent_operations=[record] if ended else []))
    assert (found.operation is not None, reason(found, "Progressing") != "Idle") == (not ended, not ended)


def test_machines_are_counted() -> None:
    found = told(report(health=WELL.model_copy(update={"nodes": ["workers-2", "strange-1"]})))
    assert found.control_plane is not None
    assert found.nodes is not None
    assert (found.control_plane.ready, found.nodes.ready) == ("1/1", "1/2")
    assert [(pool.name, pool.ready_replicas) for pool in found.node_pools] == [("workers", 1)]


def test_a_release_is_begun_and_completed() -> None:
    begun = told(report(health=None, **NEW)).release_history
    assert [(record.release, record.completed_at) for record in begun] == [("1.37.2-1", None)]
    done = told(report(at=NOW + timedelta(minutes=1)), told(report(health=None, **NEW))).release_history
    assert [record.completed_at for record in done] == [NOW + timedelta(minutes=1)]
    older = ClusterResourceStatus(
        release_history=[begun[0].model_copy(update={"release": "1.36.3-1", "completed_at": NOW})]
    )
    assert [record.release for record in told(report(), older).release_history] == ["1.36.3-1", "1.37.2-1"]


def test_what_is_told_again_tells_nothing_new() -> None:
    first = told(report())
    assert tells_the_same(told(report(at=NOW + timedelta(hours=1)), first), first)
    assert not tells_the_same(told(report(paused=True), first), first)


@given(
    phase=st.sampled_from(list(Phase)),
    health=st.sampled_from([None, WELL, ApiHealth(available=False, message="x" * 5000)]),
    deleting=st.booleans(),
    observed=st.integers(0, 2),
    waiting=st.text(max_size=3000),
)
def test_whatever_is_reported_fits_the_schema(
    *, phase: Phase, health: ApiHealth | None, deleting: bool, observed: int, waiting: str
) -> None:
    given = report(
        health=health,
        deleting=deleting,
        phase=phase,
        observed_generation=observed,
        waiting_on=waiting,
        operation=create(StepStatus(name="a", title="A", state=StepState.RUNNING, last_error=ERROR)),
    )
    found = told(given)
    assert ClusterResourceStatus.model_validate_json(found.model_dump_json(by_alias=True)) == found
    assert all(len(condition.message) <= 1000 for condition in found.conditions)
    assert len({condition.type for condition in found.conditions}) == len(found.conditions) == 9
    assert all(isinstance(condition, Condition) for condition in found.conditions)
