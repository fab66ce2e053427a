"""Which reports of operations a cluster takes, in whatever order they come and whatever clocks say."""

from datetime import UTC, datetime, timedelta

import pytest

from api.status import OperationRecord, OperationStatus
from workflows.progress import is_news

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def operation(revision: int, *, at: datetime = NOW, kind: str = "create") -> OperationStatus:
    return OperationStatus(id=f"c/{kind}", type="CreateCluster", started_at=at, revision=revision)


def ended(at: datetime = NOW) -> OperationRecord:
    return OperationRecord(id="c/create", type="CreateCluster", started_at=at, finished_at=at, outcome="Succeeded")


@pytest.mark.parametrize("behind", [-1, 0, 1])
def test_the_first_report_is_taken_whatever_its_clock_says(behind: int) -> None:
    placeholder = operation(0)
    assert is_news(operation(1, at=NOW - timedelta(seconds=behind)), placeholder, [])
    assert is_news(operation(1), None, [])


def test_a_report_that_was_overtaken_is_dropped() -> None:
    assert not is_news(operation(2), operation(3), [])
    assert is_news(operation(4), operation(3), [])


@pytest.mark.parametrize("ahead", [-1, 1])
def test_the_next_operation_is_taken_whatever_its_clock_says(ahead: int) -> None:
    assert is_news(operation(1, at=NOW + timedelta(seconds=ahead)), operation(9), [])


def test_a_late_report_of_what_has_ended_is_dropped() -> None:
    assert not is_news(operation(2), operation(0, at=NOW + timedelta(seconds=1), kind="delete"), [ended()])
    assert is_news(operation(1, at=NOW + timedelta(seconds=1)), operation(0), [ended()])


def test_reports_of_an_older_version_have_no_revision_and_are_all_taken() -> None:
    assert is_news(operation(0), operation(0), [])
