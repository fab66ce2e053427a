"""What a cluster that comes from a resource tells the resource, and what it takes from it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from api.errors import ERRORS, ErrorCode
from api.resource import ClusterResourceStatus
from api.status import Phase
from contracts import activities as names
from contracts import queues
from contracts.reporting import ApiHealth, ReportAnswer, StatusReport
from contracts.workflows import CLUSTER, Accepted, ApplyRequest, workflow_id
from planning.reporting import resource_status, tells_the_same
from tests.support.fakes import Script
from tests.support.resources import cluster_document, cluster_input
from tests.workflows.conftest import Clusters, served

UID = "9c2a6b1e-0000-4000-8000-000000000001"


class Host(Script):
    """A host cluster with one resource, to which is written what the real activity would write."""

    def __init__(self) -> None:
        super().__init__()
        self.told = ClusterResourceStatus()
        self.writes = 0

    def report(self, report: StatusReport) -> ReportAnswer:
        """Write what tells something new."""
        wanted = resource_status(report, self.told)
        if not tells_the_same(wanted, self.told):
            self.writes, self.told = self.writes + 1, wanted
        return super().report(report)


async def start(clusters: Clusters, name: str, **spec: Any) -> WorkflowHandle[Any, str]:
    """Start a cluster as the bridge does."""
    given = cluster_input(name, **spec)
    metadata = given.metadata.model_copy(update={"uid": UID})
    return await clusters.client.start_workflow(
        CLUSTER,
        given.model_copy(update={"resource": True, "metadata": metadata, "requested_by": "alice"}),
        id=workflow_id("default", name),
        task_queue=queues.CLUSTERS,
        result_type=str,
    )


async def apply(
    handle: WorkflowHandle[Any, str], *, resource: bool = True, generation: int = 2, **spec: Any
) -> str:
    """Apply a spec."""
    wanted = cluster_document(**spec)["spec"]
    request = ApplyRequest.model_validate(
        {"uid": UID, "generation": generation, "spec": wanted, "resource": resource}
    )
    accepted: Accepted = await handle.execute_update("apply", request, result_type=Accepted)
    return accepted.message


async def reported(clusters: Clusters, wanted: Callable[[StatusReport], bool]) -> StatusReport:
    """Wait until the last report is as wanted."""
    while not clusters.script.reports or not wanted(clusters.script.reports[-1]):
        await asyncio.sleep(0.05)
    return clusters.script.reports[-1]


async def test_a_create_and_a_delete_are_told_and_the_resource_is_let_go(clusters: Clusters) -> None:
    handle = await start(clusters, "told-told")
    last = await reported(
        clusters, lambda report: report.status.phase == Phase.RUNNING and report.health is not None
    )
    reports = clusters.script.reports
    assert last.resource.uid == UID
    assert last.status.recent_operations[0].requested_by == "alice"
    assert [report.sequence for report in reports] == sorted({report.sequence for report in reports})
    events = [event for report in reports for event in report.events]
    assert [event.reason for event in events] == ["CreateClusterStarted", "CreateClusterSucceeded"]
    await clusters.send(handle, "delete", requestedBy="bob")
    assert "nothing is left" in await handle.result()
    assert clusters.script.reports[-1].status.phase == Phase.DELETED
    assert clusters.script.reports[-1].deleting
    assert [resource.uid for resource in clusters.script.released] == [UID]
    times = [report.reported_at for report in clusters.script.reports]
    assert min(later - before for before, later in pairwise(times)) >= timedelta(seconds=0.9)


async def test_what_can_not_be_planned_is_an_event_with_what_to_do(clusters: Clusters) -> None:
    handle = await start(clusters, "told-unplanned", release="1.37.9-1")
    last = await reported(clusters, lambda report: report.status.phase == Phase.FAILED)
    [event] = [event for report in clusters.script.reports for event in report.events]
    assert (event.reason, event.warning) == ("CreateClusterFailed", True)
    assert event.message.startswith("UnknownRelease: spec.release: there is no release 1.37.9-1; there are: ")
    assert event.message.endswith(ERRORS[ErrorCode.UNKNOWN_RELEASE].hint)
    assert last.status.waiting_on.startswith("UnknownRelease: ")
    await handle.terminate()


async def test_a_cluster_without_a_resource_tells_nobody(clusters: Clusters) -> None:
    handle = await clusters.start("told-untold")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "delete")
    await handle.result()
    assert clusters.script.reports == []
    assert clusters.script.released == []
    assert clusters.script.count(names.PROBE_API) == 0


async def test_what_the_api_says_is_told_once_it_changes(clusters: Clusters) -> None:
    handle = await start(clusters, "told-probed")
    await reported(clusters, lambda report: report.health == ApiHealth(available=True, message="answers"))
    told = len(clusters.script.reports)
    clusters.script.health = ApiHealth(available=False, message="silent")
    await reported(clusters, lambda report: report.health == clusters.script.health)
    assert len(clusters.script.reports) == told + 1
    await clusters.send(handle, "delete")
    await handle.result()


async def test_a_burst_is_told_at_once_and_then_once_a_second(temporal: WorkflowEnvironment) -> None:
    host, second = Host(), timedelta(seconds=1)
    async with served(temporal, host) as clusters:
        handle = await quiet(clusters, "told-burst")
        before, changes, begun = len(host.reports), 0, datetime.now(UTC)
        while datetime.now(UTC) < begun + 3.5 * second:
            paused = changes % 2 == 0
            await clusters.send(handle, "pause" if paused else "resume")
            changes += 1
        ended = datetime.now(UTC)
        await reported(clusters, lambda report: report.reported_at > ended - second)
        await asyncio.sleep(1.5)
        times = [report.reported_at for report in host.reports[before:]]
        assert changes > 2 * len(times)
        assert begun <= times[0] < begun + second
        assert [later - earlier for earlier, later in pairwise(times) if later - earlier < second] == []
        assert times[-1] < ended + 1.5 * second
        assert host.reports[-1].status.paused is paused  # the last state is told, whenever the burst ended
        await clusters.send(handle, "resume")
        await clusters.send(handle, "delete")
        await handle.result()


async def test_what_changes_nothing_is_not_told_and_what_tells_nothing_new_is_not_written(
    temporal: WorkflowEnvironment,
) -> None:
    host = Host()
    async with served(temporal, host) as clusters:
        handle = await quiet(clusters, "told-nothing")
        reports, writes = len(host.reports), host.writes
        await asyncio.sleep(2.5)
        assert len(host.reports) == reports
        await clusters.send(handle, "retry")  # a look at machines that are well
        await handle.signal("report")
        await reported(clusters, lambda _: len(host.reports) > reports)
        await asyncio.sleep(1.5)
        assert host.writes == writes
        await clusters.send(handle, "delete")
        await handle.result()


async def quiet(clusters: Clusters, name: str) -> WorkflowHandle[Any, str]:
    """Start a cluster, and wait until all has been told of its create."""
    handle = await start(clusters, name)
    await reported(clusters, lambda report: report.status.phase == Phase.RUNNING and report.health is not None)
    await asyncio.sleep(2)
    return handle


async def test_a_host_cluster_that_is_away_holds_nothing_up(clusters: Clusters) -> None:
    clusters.script.failures[names.REPORT_STATUS] = 4
    clusters.script.failures[names.RELEASE_RESOURCE] = 1
    handle = await start(clusters, "told-alone")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await reported(clusters, lambda report: report.status.phase == Phase.RUNNING)
    await clusters.send(handle, "delete")
    await handle.result()
    assert len(clusters.script.released) == 1


async def test_a_later_number_in_the_resource_is_passed(clusters: Clusters) -> None:
    clusters.script.newest = 1 << 52
    handle = await start(clusters, "told-passed")
    await reported(clusters, lambda report: report.sequence > 1 << 52)
    await clusters.send(handle, "delete")
    await handle.result()


async def test_the_spec_comes_from_the_resource_alone(clusters: Clusters) -> None:
    handle = await start(clusters, "told-owned")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    with pytest.raises(WorkflowUpdateFailedError) as failure:
        await apply(handle, resource=False)
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == ErrorCode.MANAGED_BY_RESOURCE
    assert await apply(handle) == "nothing to change"
    await clusters.send(handle, "delete")
    await handle.result()


async def test_a_cluster_that_was_started_by_hand_is_adopted_by_a_resource(clusters: Clusters) -> None:
    handle = await clusters.start("told-adopted")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await apply(handle)
    assert (await reported(clusters, lambda report: report.health is not None)).resource.uid == UID
    await clusters.send(handle, "delete")
    await handle.result()


async def test_an_abandoned_cluster_lives_on_and_may_be_adopted(clusters: Clusters) -> None:
    handle = await start(clusters, "told-abandoned")
    await reported(clusters, lambda report: report.health is not None)
    answer = await clusters.send(handle, "abandon")
    assert "lives on with control-plane-1, workers-1, workers-2" in answer.message
    assert [resource.uid for resource in clusters.script.released] == [UID]
    assert clusters.script.reports[-1].events[-1].reason == "Abandoned"
    told, probes = len(clusters.script.reports), clusters.script.count(names.PROBE_API)
    await clusters.send(handle, "pause")
    await clusters.send(handle, "resume")
    assert (len(clusters.script.reports), clusters.script.count(names.PROBE_API)) == (told, probes)
    with pytest.raises(WorkflowUpdateFailedError):
        await clusters.send(handle, "abandon")
    await apply(handle)
    await reported(clusters, lambda report: report.health is not None)
    await clusters.send(handle, "delete")
    await handle.result()


async def test_a_resource_that_is_gone_is_told_no_more_and_another_one_adopts(clusters: Clusters) -> None:
    handle = await start(clusters, "told-lost")
    await reported(clusters, lambda report: report.health is not None)
    clusters.script.gone = True
    await clusters.send(handle, "pause")
    assert (await clusters.until(handle, lambda status: status.resource_gone)).phase == Phase.RUNNING
    clusters.script.gone = False
    await apply(handle)
    assert (await reported(clusters, lambda report: report.health is not None)).status.resource_gone is False
    await clusters.send(handle, "resume")
    await clusters.send(handle, "delete")
    await handle.result()


async def test_reports_go_on_when_the_workflow_continues_as_new(clusters: Clusters) -> None:
    handle = await start(clusters, "told-renewed")
    first = await reported(clusters, lambda report: report.health is not None)
    for _ in range(2):  # a cancel that was used up continues as new
        await handle.cancel()
        last = clusters.script.reports[-1].run_id
        while clusters.script.reports[-1].run_id == last:
            await asyncio.sleep(0.05)
    latest = clusters.client.get_workflow_handle(handle.id, result_type=str)
    clusters.script.health = ApiHealth(available=False, message="silent")
    again = await reported(clusters, lambda report: report.health == clusters.script.health)
    assert again.sequence > first.sequence
    await clusters.send(latest, "delete")
    await latest.result()


async def test_the_first_certificate_to_end_is_told(clusters: Clusters) -> None:
    handle = await start(clusters, "told-certificates", nodePools=[{"name": "workers", "replicas": 1}])
    first = clusters.script.expires_at
    await reported(clusters, lambda report: report.certificate_expires_at == first and report.health is not None)
    later = clusters.script.expires_at = first + timedelta(days=1)

    async def told(operations: int, run: str = "") -> StatusReport:
        def wanted(report: StatusReport) -> bool:
            return len(report.status.recent_operations) == operations and report.run_id != run

        return await reported(clusters, wanted)

    await clusters.send(handle, "replace_machine", machine="workers-1")
    assert (await told(2)).certificate_expires_at == first
    await clusters.send(handle, "replace_machine", machine="control-plane-1")
    last = await told(3)
    assert last.certificate_expires_at == later
    await handle.cancel()  # a cancel that was used up continues as new
    assert (await told(3, last.run_id)).certificate_expires_at == later
    latest = clusters.client.get_workflow_handle(handle.id, result_type=str)
    await clusters.send(latest, "delete")
    await latest.result()


async def test_what_can_not_be_created_waits_for_another_spec(clusters: Clusters) -> None:
    handle = await start(clusters, "told-mistaken", release="9.9.9-9")
    failed = await reported(clusters, lambda report: report.status.phase == Phase.FAILED)
    assert "9.9.9-9" in failed.status.waiting_on
    assert "created as it is specified now" in await apply(handle)
    await reported(clusters, lambda report: report.status.phase == Phase.RUNNING)
    await clusters.send(handle, "delete")
    await handle.result()


async def test_an_undone_create_waits_while_its_resource_is_there(clusters: Clusters) -> None:
    clusters.script.gates[names.AWAIT_API] = asyncio.Event()
    handle = await start(clusters, "told-undone")
    await clusters.until(handle, lambda _: clusters.script.count(names.AWAIT_API) > 0)
    await clusters.send(handle, "cancel")
    await reported(clusters, lambda report: report.status.phase == Phase.FAILED)
    clusters.script.gates[names.AWAIT_API].set()
    await clusters.send(handle, "retry")
    await reported(clusters, lambda report: report.status.phase == Phase.RUNNING)
    await clusters.send(handle, "delete")
    await handle.result()
