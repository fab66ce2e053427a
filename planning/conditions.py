"""The conditions of a ``Cluster`` resource (Kubernetes: API conventions, Typical status properties). Pure."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain

from api.cluster import CertificatesSpec
from api.conditions import ConditionType, Reason
from api.errors import ERRORS, ErrorCode
from api.resource import Condition
from api.status import ClusterStatus, OperationStatus, Phase
from contracts.machines import node_names, slot_names
from contracts.reporting import StatusReport

Verdict = tuple[ConditionType, bool | None, str, str]
"""Type, status (None is Unknown), reason and message."""

LENGTH = 1000
"""Of a message: enough for what is told, which names at most a few machines."""

SOON = timedelta(days=5)
"""What is left at most when an end is told of, as by the alert ``GiantnetesCertificatesEndSoon``."""

_OF_THE_API = (ConditionType.AVAILABLE, ConditionType.CONTROL_PLANE_READY, ConditionType.NODES_READY)


def conditions(report: StatusReport, before: Sequence[Condition], *, lived: bool) -> list[Condition]:
    """Return all conditions but ``Accepted``; one whose status is as ``before`` keeps its time of transition.

    ``lived`` says that the cluster was complete before: what is created now is an adoption.
    """
    known = {condition.type: condition for condition in before}
    told = [_condition(verdict, report, known) for verdict in _verdicts(report, lived=lived)]
    doubt = known.get(ConditionType.AVAILABLE)
    if doubt and doubt.reason == Reason.NOT_REPORTED and not report.anew and not report.deleting:
        return [doubt if condition.type == ConditionType.AVAILABLE else condition for condition in told]
    return told


def _condition(verdict: Verdict, report: StatusReport, known: dict[str, Condition]) -> Condition:
    kind, holds, reason, message = verdict
    status = "Unknown" if holds is None else str(holds)
    last = known.get(kind)
    same = last is not None and last.status == status
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message[:LENGTH],
            "last_transition_time": last.last_transition_time if last and same else report.reported_at,
            "observed_generation": report.status.generation,
        }
    )


def _verdicts(report: StatusReport, *, lived: bool) -> Iterator[Verdict]:
    slots, nodes = slot_names(report.spec), [*chain.from_iterable(node_names(report.spec).values())]
    serving = report.health.control_plane if report.health else []
    ready = report.health.nodes if report.health else []
    if missing := _missing(report, lived=lived):
        yield from map(missing, _OF_THE_API)
    else:
        yield _available(report)
        yield _all_ready(ConditionType.CONTROL_PLANE_READY, report, slots, serving)
        yield _all_ready(ConditionType.NODES_READY, report, nodes, ready)
    yield _certificates(report)
    yield _up_to_date(report)
    yield _progressing(report)
    yield _degraded(report)
    yield _deleting(report)
    if report.status.paused:
        yield ConditionType.PAUSED, True, Reason.PAUSED, "no further step starts until resume"
    else:
        yield ConditionType.PAUSED, False, Reason.NOT_PAUSED, ""


def _created(report: StatusReport) -> bool:
    return report.status.observed_generation > 0


def _missing(report: StatusReport, *, lived: bool) -> Callable[[ConditionType], Verdict] | None:
    """Return what is said of everything of a cluster that isn't there, or isn't known yet; None of others."""
    if report.deleting:
        return lambda kind: (kind, False, Reason.DELETION_ASKED_FOR, "it is being deleted")
    if _created(report):
        return None
    if lived:
        return lambda kind: (kind, None, Reason.NOT_PROBED, "what there is of it is being adopted")
    return lambda kind: (kind, False, Reason.NOT_CREATED, "it has not been created yet")


def _available(report: StatusReport) -> Verdict:
    kind, health = ConditionType.AVAILABLE, report.health
    if health is None or health.available is None:
        return kind, None, Reason.NOT_PROBED, health.message if health else "its API has not been asked yet"
    return kind, health.available, Reason.API_ANSWERS if health.available else Reason.API_SILENT, health.message


def _all_ready(kind: ConditionType, report: StatusReport, wanted: list[str], ready: Sequence[str]) -> Verdict:
    health = report.health
    if health is None or health.available is None or (not health.available and not ready):
        return kind, None, Reason.NOT_PROBED, "its API does not tell"
    missing = [name for name in wanted if name not in ready]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        return kind, False, Reason.SOME_NOT_READY, f"not ready: {named}"
    return kind, True, Reason.ALL_READY, f"{len(wanted)} of {len(wanted)} ready"


def certificates_expire_at(report: StatusReport) -> datetime | None:
    """Return when the first certificate ends: of those that machines were given, and those seen at the API."""
    seen = report.health.certificate_expires_at if report.health else None
    return min((end for end in (seen, report.certificate_expires_at) if end), default=None)


def _soon(spec: CertificatesSpec) -> timedelta:
    """Return how little of a certificate's life is left when it is told of; rotations in time always leave more.

    With lifetimes of a day nothing is left to tell by: a rotation comes as they end.
    """
    least = timedelta(hours=spec.shortest_ttl_hours) - timedelta(days=spec.rotation_interval_days)
    return min(SOON, least * 5 / 6)


def _certificates(report: StatusReport) -> Verdict:
    kind = ConditionType.CERTIFICATES_VALID
    until = certificates_expire_at(report)
    if until is None:
        return kind, None, Reason.NOT_PROBED, "none has been seen"
    if until <= report.reported_at:
        return kind, False, Reason.EXPIRED, f"the first ended at {until:%Y-%m-%dT%H:%M:%SZ}"
    ends = f"the first ends at {until:%Y-%m-%dT%H:%M:%SZ}"
    status = report.status
    failed = [f"{machine} was not renewed ({why})" for machine, why in sorted(status.unrenewed.items())]
    failed += [f"{client} goes on with its old certificate" for client in status.stale_clients]
    if failed:
        return kind, False, Reason.NOT_RENEWED, f"{ends}; {'; '.join(failed)}"
    if until - report.reported_at < _soon(report.spec.certificates):
        return kind, False, Reason.ENDS_SOON, f"{ends}, and was not renewed"
    return kind, True, Reason.VALID, ends


def _up_to_date(report: StatusReport) -> Verdict:
    kind, status = ConditionType.UP_TO_DATE, report.status
    if not _created(report):
        return kind, False, Reason.NOT_CREATED, "it has not been created yet"
    if status.observed_generation < status.generation:
        return kind, False, Reason.CHANGE_PENDING, f"generation {status.generation} is not there yet"
    return kind, True, Reason.LATEST, f"it is what release {report.spec.release} and its spec say"


def under_way(status: ClusterStatus) -> OperationStatus | None:
    """Return the operation that is under way, None between two.

    One whose steps are all done is under way until its workflow has ended, and it is among those that have.
    """
    operation = status.operation
    ended = {(record.id, record.started_at) for record in status.recent_operations}
    return operation if operation and (operation.id, operation.started_at) not in ended else None


def _progressing(report: StatusReport) -> Verdict:
    kind, operation = ConditionType.PROGRESSING, under_way(report.status)
    if operation:
        return kind, True, operation.type, f"since {operation.started_at:%Y-%m-%dT%H:%M:%SZ}"
    return kind, False, Reason.IDLE, "no operation is under way"


def _degraded(report: StatusReport) -> Verdict:
    kind, status = ConditionType.DEGRADED, report.status
    operation = status.operation
    failed = operation.last_error if operation and operation.outcome == "Failed" else None
    if failed and status.phase is Phase.FAILED:
        return kind, True, failed.code, f"{failed.message}; {failed.hint}"
    if status.phase is Phase.DEGRADED:
        message = status.waiting_on or "an operation ended unfinished: machines are looked at within a minute"
        return kind, True, Reason.MACHINES_NOT_WELL, message
    code, _, message = status.waiting_on.partition(": ")
    if status.phase is Phase.FAILED and code in {*ErrorCode}:
        return kind, True, code, f"{message}; {ERRORS[ErrorCode(code)].hint}"
    if status.waiting_on or status.phase is Phase.FAILED:
        return kind, True, Reason.WAITING, status.waiting_on
    return kind, False, Reason.HEALTHY, ""


def _deleting(report: StatusReport) -> Verdict:
    kind = ConditionType.DELETING
    if not report.deleting:
        return kind, False, Reason.NOT_DELETING, ""
    return kind, True, Reason.DELETION_ASKED_FOR, "everything of it is being deleted"
