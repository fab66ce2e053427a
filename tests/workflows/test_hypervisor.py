"""Hypervisors, and clusters that are spread over them: cordoned, evacuated, silent, dead and back again."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from api.status import ClusterStatus, Phase
from contracts import queues
from contracts.hypervisors import HYPERVISOR, HypervisorInput, HypervisorPhase, HypervisorStatus, hypervisor_id
from contracts.workflows import Accepted, Reason
from tests.support.fakes import Script
from tests.support.hypervisors import SITE, Site
from tests.workflows.conftest import Clusters

Handle = WorkflowHandle[Any, str]
POOLS = [{"name": "workers", "replicas": 2}]


@pytest.fixture
async def site(skipping: WorkflowEnvironment, script: Script) -> AsyncIterator[Site]:
    """Two hypervisors, with workers."""
    async with Site(skipping, script, ["one", "two"]).served() as found:
        for name in found.hypervisors:
            await found.wake(name)
        yield found


@pytest.fixture
def clusters(skipping: WorkflowEnvironment, script: Script) -> Clusters:
    return Clusters(skipping.client, script)


async def state(handle: Handle) -> HypervisorStatus:
    found: HypervisorStatus = await handle.query("status", result_type=HypervisorStatus)
    return found


async def until(site: Site, handle: Handle, holds: Callable[[HypervisorStatus], bool]) -> HypervisorStatus:
    while not holds(status := await state(handle)):
        await site.pass_time(handle)
    return status


async def say(handle: Handle, update: str) -> Accepted:
    accepted: Accepted = await handle.execute_update(update, Reason(reason="test"), result_type=Accepted)
    return accepted


async def living(clusters: Clusters, name: str, **spec: Any) -> Handle:
    handle = await clusters.start(name, provider="libvirt", nodePools=POOLS, **spec)
    await clusters.until(handle, lambda status: status.phase is Phase.RUNNING)
    return handle


def repaired(status: ClusterStatus, count: int) -> bool:
    return len(status.recent_operations) >= count and status.phase is not Phase.REPAIRING


async def test_a_cluster_is_spread_and_its_network_joined(site: Site, clusters: Clusters) -> None:
    handles = [await site.enrol(name) for name in ("one", "two")]
    cluster = await living(clusters, "spread")
    where = site.where()
    assert set(where) == {"control-plane-1", "workers-1", "workers-2"}
    assert where["workers-1"] != where["workers-2"]
    (cluster_id,) = site.hypervisors["one"].peers
    assert site.hypervisors["one"].peers[cluster_id] == {"192.0.2.2"}
    assert site.hypervisors["two"].peers[cluster_id] == {"192.0.2.1"}
    await clusters.send(cluster, "delete")
    await cluster.result()
    assert site.where() == {}
    await until(site, handles[0], lambda status: status.record is not None and not status.record.machines)


async def test_an_evacuated_hypervisor_keeps_what_has_a_volume(site: Site, clusters: Clusters) -> None:
    one, two = [await site.enrol(name) for name in ("one", "two")]
    cluster = await living(clusters, "evacuated")
    slots = site.where()["control-plane-1"]
    handle, other = (one, "two") if slots == "one" else (two, "one")
    assert (await say(handle, "evacuate")).message == "its nodes are replaced elsewhere"
    await clusters.until(cluster, lambda status: repaired(status, 2))
    assert site.where() == {"control-plane-1": slots, "workers-1": other, "workers-2": other}
    status = await until(site, handle, lambda status: len(status.record.machines if status.record else []) == 1)
    assert status.phase is HypervisorPhase.CORDONED
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await say(handle, "forget")
    assert isinstance(raised.value.cause, ApplicationError)
    assert "control-plane-1" in raised.value.cause.message


async def test_the_nodes_of_a_dead_hypervisor_are_made_elsewhere_and_swept_when_it_is_back(
    site: Site, clusters: Clusters
) -> None:
    one, two = [await site.enrol(name) for name in ("one", "two")]
    cluster = await living(clusters, "widowed")
    slots = site.where()["control-plane-1"]
    dead, handle = ("two", two) if slots == "one" else ("one", one)
    lost = {machine for machine, name in site.where().items() if name == dead}
    assert lost
    with pytest.raises(WorkflowUpdateFailedError) as answering:
        await say(handle, "declare_dead")
    assert "it answers" in str(answering.value.cause)
    await site.silence(dead)
    await until(site, handle, lambda status: status.phase is HypervisorPhase.SILENT)
    await say(handle, "declare_dead")
    await clusters.until(cluster, lambda status: repaired(status, 1 + len(lost)))
    assert {machine for _, machine in site.hypervisors[slots].machines} == {
        "control-plane-1",
        "workers-1",
        "workers-2",
    }
    # What is elsewhere now would else be moved again and again for as long as this one is silent.
    await until(site, handle, lambda status: status.record is not None and not status.record.machines)
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await say(handle, "uncordon")
    assert "must be removed from it first" in str(raised.value.cause)
    await site.wake(dead)
    await until(site, handle, lambda _: not site.hypervisors[dead].machines)
    await until(site, handle, lambda status: status.record is not None and not status.record.unswept)
    await say(handle, "uncordon")
    assert (await state(handle)).phase is HypervisorPhase.READY


@pytest.mark.timeout(360)  # a queue that nobody polls is waited for for two minutes, which no server skips
async def test_a_deletion_does_not_wait_for_a_silent_hypervisor(site: Site, clusters: Clusters) -> None:
    _, two = [await site.enrol(name) for name in ("one", "two")]
    cluster = await living(clusters, "left")
    await site.silence("two")
    await clusters.send(cluster, "delete")
    assert await cluster.result() == "the cluster is deleted; nothing is left"
    assert site.hypervisors["one"].machines == set()
    assert site.hypervisors["two"].machines
    status = await until(site, two, lambda status: status.phase is HypervisorPhase.SILENT)
    assert "no worker took CheckHypervisor" in status.waiting_on
    await site.wake("two")
    status = await until(site, two, lambda status: status.phase is HypervisorPhase.READY)
    await until(site, two, lambda _: not site.hypervisors["two"].machines)


async def test_a_look_sees_what_is_not_on_the_silent_hypervisor(site: Site, clusters: Clusters) -> None:
    [await site.enrol(name) for name in ("one", "two")]
    cluster = await living(clusters, "seen")
    await site.silence("two")
    await clusters.send(cluster, "retry")
    status = await clusters.until(cluster, lambda status: status.phase is Phase.DEGRADED)
    assert "no worker took ObserveMachines from the task queue default.libvirt.two" in status.waiting_on


async def test_a_hypervisor_that_is_refused_fails_its_run(site: Site, clusters: Clusters) -> None:
    site.hypervisors["one"].machines.add(("c0ffee", "workers-1"))
    with pytest.raises(WorkflowFailureError) as raised:
        await clusters.client.execute_workflow(
            HYPERVISOR,
            HypervisorInput(site=SITE, name="one"),
            id=hypervisor_id(SITE, "one"),
            task_queue=queues.CLUSTERS,
        )
    assert "machines or volumes of c0ffee" in str(raised.value.cause)


async def test_no_hypervisor_is_told_with_the_machine(site: Site, clusters: Clusters) -> None:
    del site
    cluster = await clusters.start("homeless", provider="libvirt", nodePools=POOLS)
    status = await clusters.until(
        cluster,
        lambda status: any(step.last_error for step in status.operation.steps) if status.operation else False,
    )
    assert status.operation is not None
    (error,) = [step.last_error for step in status.operation.steps if step.last_error]
    assert error.message == "no hypervisor has room for machine control-plane-1: none is enrolled"
    await clusters.send(cluster, "cancel")
    with pytest.raises(WorkflowUpdateFailedError):
        await clusters.send(cluster, "replace_machine", machine="workers-1")
