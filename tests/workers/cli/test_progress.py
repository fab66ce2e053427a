"""Statuses as lines."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.status import ClusterStatus, ErrorStatus, OperationStatus, Phase, StepState, StepStatus
from workers.cli.cluster import Look
from workers.cli.console import columns, elapsed
from workers.cli.progress import changes, overview

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ERROR = ErrorStatus(code="VaultSealed", message="Vault is sealed", retryable=True, hint="unseal Vault")


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def creating(*steps: StepStatus, **fields: object) -> ClusterStatus:
    operation = OperationStatus(id="create", type="CreateCluster", started_at=START, steps=list(steps))
    return ClusterStatus(name="demo", namespace="default", phase=Phase.CREATING, operation=operation).model_copy(
        update=fields
    )


def said(before: ClusterStatus | None, now: ClusterStatus) -> list[str]:
    """Return the changes without their time of day."""
    return [line.plain.partition("  ")[2] for line in changes(before, now)]


WAITING = StepStatus(name="claim", title="Claim")
RUNNING = StepStatus(name="claim", title="Claim", state=StepState.RUNNING, started_at=START, attempt=1)
RETRYING = RUNNING.model_copy(update={"attempt": 3, "last_error": ERROR, "next_retry_time": after(4)})
DONE = RUNNING.model_copy(update={"state": StepState.DONE, "finished_at": after(0.25)})


def test_a_first_look_says_what_is_under_way() -> None:
    assert said(None, creating(DONE, WAITING)) == ["default/demo Creating", "done     Claim (0.2 s)"]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (WAITING, WAITING, []),
        (WAITING, RUNNING, ["running  Claim"]),
        (RUNNING, RUNNING, []),
        (RETRYING, RETRYING, []),
        (RETRYING, DONE, ["done     Claim (0.2 s)"]),
        (WAITING, DONE, ["done     Claim (0.2 s)"]),
    ],
)
def test_each_change_of_a_step_is_one_line(before: StepStatus, now: StepStatus, expected: list[str]) -> None:
    assert said(creating(before), creating(now)) == expected


def test_a_failed_attempt_says_why_and_when_the_next_one_is_due() -> None:
    [line] = said(creating(RUNNING), creating(RETRYING))
    due = f"{after(4).astimezone():%H:%M:%S}"
    assert line == f"running  Claim, attempt 3, next try at {due}: VaultSealed: Vault is sealed; unseal Vault"


def test_the_next_operation_is_told_from_the_start() -> None:
    later = creating(DONE)
    assert later.operation
    again = later.model_copy(
        update={"operation": later.operation.model_copy(update={"id": "delete", "type": "DeleteCluster"})}
    )
    assert said(later, again) == ["done     Claim (0.2 s)"]


def test_phase_pause_and_what_is_waited_for_are_told_once() -> None:
    paused = creating(WAITING, paused=True, waiting_on="a worker")
    assert said(creating(WAITING), paused) == [
        "default/demo Creating, paused: no further step starts until resume",
        "waiting on a worker",
    ]
    assert said(paused, paused) == []


def test_the_end_of_an_operation_is_told_once() -> None:
    running = creating(DONE)
    assert running.operation
    ended = running.model_copy(
        update={
            "operation": running.operation.model_copy(update={"outcome": "Succeeded", "finished_at": after(7)})
        }
    )
    assert said(running, ended) == ["CreateCluster: Succeeded, 1 of 1 steps, 7.0 s"]
    settled = ended.model_copy(update={"phase": Phase.RUNNING})
    assert said(running, settled) == ["CreateCluster: Succeeded, 1 of 1 steps, 7.0 s", "default/demo Running"]
    assert said(settled, settled) == []


def test_an_overview_has_errors_below_their_steps() -> None:
    lines = [line.plain for line in overview(Look(creating(RETRYING, WAITING)), after(2), marks=False)]
    step = next(index for index, line in enumerate(lines) if line.startswith("  running"))
    assert lines[step].split() == [
        "running",
        "Claim",
        "2.0",
        "s",
        "attempt",
        "3,",
        "next",
        "try",
        "at",
        lines[step][-8:],
    ]
    assert lines[step + 1].strip() == "VaultSealed: Vault is sealed; unseal Vault"
    assert lines[step + 2].split() == ["waiting", "Claim"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (60, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations_fit_their_size(seconds: float, text: str) -> None:
    assert elapsed(START, after(seconds)) == text


WORDS = st.text(alphabet="abcäöü✔", max_size=12)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5))
def test_columns_are_below_each_other_without_blanks_at_the_end(rows: list[tuple[str, str, str]]) -> None:
    lines = [line.plain for line in columns(rows)]
    width = max(len(row[0]) for row in rows) + 2
    for line, row in zip(lines, rows, strict=True):
        assert line == line.rstrip()
        assert line[:width].rstrip() == row[0]
        assert line[width:].split() == [word for word in row[1:] if word]


def test_a_deleted_cluster_is_looked_at_until_its_workflow_says_how_it_ended() -> None:
    status = creating(DONE, phase=Phase.DELETED)
    assert not Look(status).settled
    assert Look(status, "the create was undone; nothing is left").settled
