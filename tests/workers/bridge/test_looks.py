"""When the bridge looks again at a cluster's workflow: not before it has to, and soon when something failed."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.common.v1 import ActivityType
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus

from workers.bridge import looks as module
from workers.bridge.kit.kube import Json
from workers.bridge.kit.messages import NotRunningError, UnansweredError
from workers.bridge.looks import SILENCE, Looks
from workers.bridge.resources import Resources
from workers.bridge.workflows import ClusterWorkflows, Sign, read_sign

RESOURCE: Json = {"metadata": {"namespace": "default", "name": "demo"}}


class World:
    """Temporal and the host cluster, which fail when they are told to."""

    def __init__(self) -> None:
        self.running, self.failing, self.away, self.asked, self.doubts, self.reports = True, False, False, 0, 0, 0
        self.silence = SILENCE + timedelta(seconds=1)

    async def sign(self, *_: str) -> Sign:
        self.asked += 1
        if self.away:
            raise UnansweredError("Temporal does not answer")
        return Sign(running=self.running, heard_at=datetime.now(UTC) - self.silence)

    async def ask_to_report(self, *_: str) -> None:
        self.reports += 1

    async def doubt(self, *_: Any) -> None:
        if self.failing:
            raise UnansweredError("the API is away")
        self.doubts += 1


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def looks(world: World) -> Looks:
    return Looks(cast(Resources, world), cast(ClusterWorkflows, world))


async def test_what_was_seen_and_told_is_not_looked_at_again_for_a_while(looks: Looks, world: World) -> None:
    assert await looks.look(RESOURCE) > 0
    assert await looks.look(RESOURCE) > 0
    assert (world.asked, world.doubts) == (1, 1)


async def test_what_could_not_be_told_is_tried_again(looks: Looks, world: World) -> None:
    world.failing = True
    with pytest.raises(UnansweredError):
        await looks.look(RESOURCE)
    world.failing = False
    await looks.look(RESOURCE)
    assert (world.asked, world.doubts) == (2, 1)


async def test_one_that_is_heard_of_again_reports_anew(looks: Looks, world: World) -> None:
    world.silence = timedelta(0)
    doubt = {"type": "Available", "status": "Unknown", "reason": "NotReported"}
    await looks.look({**RESOURCE, "status": {"conditions": [doubt]}})
    assert (world.doubts, world.reports) == (0, 1)


async def test_what_was_told_is_doubted_when_temporal_is_away_for_long(
    looks: Looks, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.away = True
    with pytest.raises(UnansweredError):
        await looks.look(RESOURCE)
    assert world.doubts == 0
    monkeypatch.setattr(module, "SILENCE", timedelta(0))
    with pytest.raises(UnansweredError):
        await looks.look(RESOURCE)
    assert world.doubts == 1


def pending(name: str, ago: timedelta) -> PendingActivityInfo:
    told = PendingActivityInfo(activity_type=ActivityType(name=name))
    told.scheduled_time.FromDatetime(datetime.now(UTC) - ago)
    return told


def test_a_report_that_waits_is_the_last_that_was_heard() -> None:
    probe, report = pending("ProbeApi", timedelta(0)), pending("ReportStatus", timedelta(minutes=5))
    described = SimpleNamespace(
        status=WorkflowExecutionStatus.RUNNING, raw_description=SimpleNamespace(pending_activities=[probe, report])
    )
    heard_at = read_sign(cast(WorkflowExecutionDescription, described)).heard_at
    assert heard_at
    assert datetime.now(UTC) - heard_at > timedelta(minutes=4)


async def test_a_workflow_that_does_not_run_is_told_of_each_time(looks: Looks, world: World) -> None:
    """Starting it again may have failed: the next try must not take it for running."""
    world.running = False
    for _ in range(2):
        with pytest.raises(NotRunningError):
            await looks.look(RESOURCE)
