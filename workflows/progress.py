"""Which report of an operation counts: signals that don't wait for each other come in any order."""

from collections.abc import Sequence

from api.status import OperationRecord, OperationStatus


def is_news(report: OperationStatus, known: OperationStatus | None, recent: Sequence[OperationRecord]) -> bool:
    """Say whether a report tells more than what is ``known``, and not of one of ``recent``, which have ended.

    Times are compared for equality alone: what is known before the first report, whose revision is 0, has the
    time of another workflow, and so of a clock that may be ahead.
    """
    if any((record.id, record.started_at) == (report.id, report.started_at) for record in recent):
        return False
    if known is None or known.revision == 0 or known.started_at != report.started_at:
        return True
    return report.revision >= known.revision
