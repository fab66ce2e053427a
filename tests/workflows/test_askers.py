"""Who asked for an operation is told of that one, and of no other."""

import asyncio

from api.status import Phase
from contracts import activities as names
from tests.workflows.conftest import Clusters
from tests.workflows.test_reporting import reported, start


async def test_an_undone_create_is_its_maker_s_and_the_undo_its_canceller_s(clusters: Clusters) -> None:
    clusters.script.gates[names.AWAIT_API] = asyncio.Event()
    handle = await start(clusters, "asked-undone")
    await clusters.until(handle, lambda _: clusters.script.count(names.AWAIT_API) > 0)
    await clusters.send(handle, "cancel", requestedBy="bob")
    last = await reported(clusters, lambda report: report.status.phase == Phase.FAILED)
    told = [(each.type, each.requested_by) for each in last.status.recent_operations]
    assert told == [("CreateCluster", "alice"), ("DeleteCluster", "bob")]
    clusters.script.gates.clear()
    await clusters.send(handle, "retry", requestedBy="carol")
    last = await reported(clusters, lambda report: report.status.phase == Phase.RUNNING)
    assert last.status.recent_operations[-1].requested_by == "carol"


async def test_a_create_that_is_deleted_midway_is_its_maker_s(clusters: Clusters) -> None:
    clusters.script.gates[names.AWAIT_API] = asyncio.Event()
    handle = await start(clusters, "asked-deleted")
    await clusters.until(handle, lambda _: clusters.script.count(names.AWAIT_API) > 0)
    await clusters.send(handle, "delete", requestedBy="bob")
    await handle.result()
    told = clusters.script.reports[-1].status.recent_operations
    assert [(each.type, each.requested_by) for each in told] == [
        ("CreateCluster", "alice"),
        ("DeleteCluster", "bob"),
    ]


async def test_each_replacement_is_its_own_asker_s(clusters: Clusters) -> None:
    handle = await start(clusters, "asked-replaced", nodePools=[{"name": "workers", "replicas": 2}])
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "pause")
    for machine, person in (("workers-1", "bob"), ("workers-2", "carol")):
        await clusters.send(handle, "replace_machine", machine=machine, requestedBy=person)
    await clusters.send(handle, "resume")
    status = await clusters.until(handle, lambda status: len(status.recent_operations) == 3)
    assert [each.requested_by for each in status.recent_operations] == ["alice", "bob", "carol"]


async def test_what_can_not_be_planned_is_among_what_has_ended(clusters: Clusters) -> None:
    handle = await start(clusters, "asked-unplanned", release="1.37.9-1")
    last = await reported(clusters, lambda report: report.status.phase == Phase.FAILED)
    (failed,) = last.status.recent_operations
    assert (failed.type, failed.outcome, failed.requested_by) == ("CreateCluster", "Failed", "alice")
    await clusters.send(handle, "delete")
    await handle.result()
