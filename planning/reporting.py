"""What a ``Cluster`` resource says, from what its workflow and its API tell. Pure."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from api.resource import (
    ClusterResourceStatus,
    CurrentOperation,
    EndedOperation,
    MachineCounts,
    PoolCounts,
    ReleaseRecord,
)
from api.status import ClusterStatus, ErrorStatus, StepState, StepStatus
from contracts.machines import node_names, slot_names
from contracts.reporting import StatusReport
from contracts.workflows import workflow_id
from planning.conditions import certificates_expire_at, conditions, under_way

LENGTH = 1000
"""Of a text in the resource, whose schema takes a few more."""

UNCOUNTED = {"sequence", "last_reported_time"}
"""What differs between two reports that tell the same."""


def resource_status(report: StatusReport, before: ClusterResourceStatus) -> ClusterResourceStatus:
    """Return the status that tells ``report``, where ``before`` was told last."""
    status, spec, health = report.status, report.spec, report.health
    slots, pools = slot_names(spec), node_names(spec)
    nodes = [*chain.from_iterable(pools.values())]
    ready = health.nodes if health else []
    lived = any(record.completed_at for record in before.release_history)
    return ClusterResourceStatus(
        observed_generation=status.generation,
        last_reported_time=report.reported_at,
        sequence=report.sequence,
        phase=status.phase,
        conditions=conditions(report, before.conditions, lived=lived),
        operation=_current(status, deleting=report.deleting),
        recent_operations=_ended(report),
        endpoint=status.endpoint or (before.endpoint if lived and not report.deleting else ""),
        control_plane=MachineCounts(**_counts(slots, health.control_plane if health else [])),
        nodes=MachineCounts(**_counts(nodes, ready)),
        node_pools=[PoolCounts(name=name, **_counts(names, ready)) for name, names in pools.items()],
        release_history=_releases(report, before),
        certificates_expire_at=certificates_expire_at(report),
        cluster_id=status.cluster_id or "",
        workflow_id=workflow_id(status.namespace, status.name),
        run_id=report.run_id,
    )


def tells_the_same(one: ClusterResourceStatus, other: ClusterResourceStatus) -> bool:
    """Say whether writing one over the other would tell nothing new."""
    return one.model_dump(exclude=UNCOUNTED) == other.model_dump(exclude=UNCOUNTED)


def _counts(wanted: Sequence[str], ready: Sequence[str]) -> dict[str, Any]:
    count = sum(name in ready for name in wanted)
    return {"desired_replicas": len(wanted), "ready_replicas": count, "ready": f"{count}/{len(wanted)}"}


def _current(status: ClusterStatus, *, deleting: bool) -> CurrentOperation | None:
    operation = under_way(status)
    if operation is None:
        return None
    done = sum(step.state is StepState.DONE for step in operation.steps)
    running = [step for step in operation.steps if step.state is StepState.RUNNING]
    # The step with trouble is the one that people want to read of.
    step = max(running, key=lambda step: step.attempt, default=StepStatus(name="", title=""))
    return CurrentOperation(
        id=operation.id,
        type=operation.type,
        progress=f"{done}/{len(operation.steps)}",
        step=step.title,
        step_index=done,
        step_count=len(operation.steps),
        attempt=step.attempt,
        started_at=operation.started_at,
        waiting_on=status.waiting_on[:LENGTH],
        last_error=_shortened(step.last_error),
        next_retry_time=step.next_retry_time,
        cancellable=not deleting and operation.type != "DeleteCluster",
    )


def _shortened(error: ErrorStatus | None) -> ErrorStatus | None:
    return error.model_copy(update={"message": error.message[:LENGTH]}) if error else None


def _ended(report: StatusReport) -> list[EndedOperation]:
    return [
        EndedOperation(
            **{**record.model_dump(), "message": record.message[:LENGTH]},
            duration_seconds=round((record.finished_at - record.started_at).total_seconds()),
        )
        for record in report.status.recent_operations
    ]


def _releases(report: StatusReport, before: ClusterResourceStatus) -> list[ReleaseRecord]:
    """Return what was told of releases before, with the present one begun or completed."""
    release = report.spec.release
    *earlier, last = before.release_history or [ReleaseRecord(release="", started_at=report.reported_at)]
    if last.release != release:
        earlier = [*before.release_history, ReleaseRecord(release=release, started_at=report.reported_at)][-10:]
        *earlier, last = earlier
    if last.completed_at is None and report.status.observed_generation >= report.status.generation:
        last = last.model_copy(update={"completed_at": report.reported_at.replace(microsecond=0)})
    return [*earlier, last]
