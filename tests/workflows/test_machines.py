"""Replacing and repairing machines of a living cluster."""

import asyncio

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from api.errors import ErrorCode
from api.status import ClusterStatus, Phase
from contracts import activities as names
from contracts.machines import MachineState
from tests.workflows.conftest import Clusters


def ended(status: ClusterStatus, operation: str, outcome: str = "Succeeded") -> bool:
    """Return whether the last operation is of a kind and has ended so."""
    last = [(record.type, record.outcome) for record in status.recent_operations[-1:]]
    return last == [(operation, outcome)] and status.phase != Phase.REPAIRING


def since(clusters: Clusters, first: int) -> list[str]:
    """Return the activities that were called, but for decisions."""
    decisions = {names.OBSERVE_MACHINES, names.PLAN_REPAIR}
    return [call for call in clusters.script.calls[first:] if call not in decisions]


async def test_a_replacement_goes_step_by_step(clusters: Clusters) -> None:
    handle = await clusters.start("replaced")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    first = len(clusters.script.calls)
    answer = await clusters.send(handle, "replace_machine", machine="workers-1", reason="test")
    assert answer.message == "machine workers-1 will be replaced"
    status = await clusters.until(handle, lambda status: ended(status, "ReplaceMachine"))
    assert status.phase == Phase.RUNNING
    assert (clusters.script.removed, clusters.script.graceful) == (["workers-1"], [True])
    assert since(clusters, first) == [
        names.DRAIN_NODE,
        *[names.ENSURE_AUTHORITY] * 3,
        names.DELETE_MACHINE,
        names.BOOT_MACHINE,
        names.SIGN_CERTIFICATES,
        names.INSTALL_MACHINE,
        names.AWAIT_NODES,
        names.UNCORDON_NODE,
    ]


async def test_a_removal_names_the_instance_that_was_seen(clusters: Clusters) -> None:
    """When the answer to a removal is lost, the next attempt is meant for the same instance, and spares others."""
    handle = await clusters.start("seen")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.lost.add(names.DELETE_MACHINE)
    await clusters.send(handle, "replace_machine", machine="workers-1")
    await clusters.until(handle, lambda status: ended(status, "ReplaceMachine"))
    assert clusters.script.removed == ["workers-1", "workers-1"]
    assert clusters.script.spared == ["workers-1"]


async def test_a_machine_that_can_not_be_told_from_others_is_removed_as_it_is(clusters: Clusters) -> None:
    handle = await clusters.start("hung")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.hung.add("workers-1")
    for machine in ("workers-1", "workers-2"):
        await clusters.send(handle, "replace_machine", machine=machine)
    await clusters.until(handle, lambda status: len(status.recent_operations) == 3)
    assert clusters.script.meant == [{}, {"workers-2": "workers-2.0"}]


async def test_replacements_follow_each_other(clusters: Clusters) -> None:
    handle = await clusters.start("two-replaced")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.gates[names.DRAIN_NODE] = asyncio.Event()
    for machine in ("workers-1", "workers-2", "workers-2"):
        await clusters.send(handle, "replace_machine", machine=machine)
    clusters.script.gates[names.DRAIN_NODE].set()
    await clusters.until(handle, lambda status: len(status.recent_operations) == 3)
    assert clusters.script.removed == ["workers-1", "workers-2"]


async def test_machines_that_are_not_there_are_refused(clusters: Clusters) -> None:
    clusters.script.gates[names.CLAIM] = asyncio.Event()
    handle = await clusters.start("no-such-machine")
    with pytest.raises(WorkflowUpdateFailedError) as early:
        await clusters.send(handle, "replace_machine", machine="workers-1")
    assert isinstance(early.value.cause, ApplicationError)
    assert early.value.cause.type == ErrorCode.API_NOT_READY
    clusters.script.gates[names.CLAIM].set()
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await clusters.send(handle, "replace_machine", machine="workers-3")
    assert "there is no workers-3; there are: control-plane-1, workers-1, workers-2" in str(raised.value.cause)


async def test_a_cancel_before_the_removal_leaves_the_machine_at_work(clusters: Clusters) -> None:
    handle = await clusters.start("kept")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.gates[names.DRAIN_NODE] = asyncio.Event()
    await clusters.send(handle, "replace_machine", machine="workers-1")
    await clusters.until(handle, lambda _: clusters.script.count(names.DRAIN_NODE) > 0)
    await clusters.send(handle, "cancel")
    await clusters.until(handle, lambda status: ended(status, "ReplaceMachine", "Cancelled"))
    assert clusters.script.calls[-1] == names.UNCORDON_NODE
    assert clusters.script.removed == []


async def test_a_cancel_after_the_removal_is_mended_by_the_next_look(clusters: Clusters) -> None:
    handle = await clusters.start("half-replaced")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.gates[names.BOOT_MACHINE] = asyncio.Event()
    await clusters.send(handle, "replace_machine", machine="workers-1")
    await clusters.until(handle, lambda _: names.DELETE_MACHINE in clusters.script.calls)
    await clusters.until(handle, lambda _: clusters.script.calls[-1] == names.BOOT_MACHINE)
    clusters.script.states["workers-1"] = MachineState.ABSENT
    await clusters.send(handle, "cancel")
    await clusters.until(handle, lambda status: ended(status, "ReplaceMachine", "Cancelled"))
    clusters.script.gates.clear()
    await clusters.send(handle, "retry")
    status = await clusters.until(handle, lambda status: ended(status, "RepairMachine"))
    assert status.phase == Phase.RUNNING


async def test_a_failed_replacement_lets_pods_back_and_ends_the_row(clusters: Clusters) -> None:
    handle = await clusters.start("row")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    gate = clusters.script.gates[names.DRAIN_NODE] = asyncio.Event()
    for machine in ("workers-1", "workers-2"):
        await clusters.send(handle, "replace_machine", machine=machine)
    clusters.script.fatal.add(names.DELETE_MACHINE)
    gate.set()
    status = await clusters.until(handle, lambda status: ended(status, "ReplaceMachine", "Failed"))
    assert status.phase == Phase.DEGRADED
    assert clusters.script.calls[-1] == names.UNCORDON_NODE
    clusters.script.fatal.clear()
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    assert clusters.script.removed == []


async def test_a_paused_cluster_looks_and_repairs_nothing(clusters: Clusters) -> None:
    handle = await clusters.start("by-hand")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "pause")
    clusters.script.states["workers-2"] = MachineState.STOPPED
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: status.phase == Phase.DEGRADED)
    clusters.script.states.clear()
    await clusters.send(handle, "resume")
    await clusters.send(handle, "retry")
    status = await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    assert [record.type for record in status.recent_operations] == ["CreateCluster"]


async def test_one_slot_at_a_time(clusters: Clusters) -> None:
    handle = await clusters.start("quorum", controlPlane={"replicas": 3})
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "pause")
    clusters.script.states["control-plane-2"] = MachineState.STOPPED
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: status.phase == Phase.DEGRADED)
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await clusters.send(handle, "replace_machine", machine="control-plane-1")
    assert "control-plane-2 must be repaired first" in str(raised.value.cause)


async def test_a_delete_ends_a_replacement(clusters: Clusters) -> None:
    handle = await clusters.start("deleted-meanwhile")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.gates[names.DRAIN_NODE] = asyncio.Event()
    await clusters.send(handle, "replace_machine", machine="workers-1")
    await clusters.until(handle, lambda _: clusters.script.count(names.DRAIN_NODE) > 0)
    await clusters.send(handle, "delete")
    assert "nothing is left" in await handle.result()


async def test_without_an_api_the_machine_goes_undrained(clusters: Clusters) -> None:
    handle = await clusters.start("undrained")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.failures[names.DRAIN_NODE] = 100
    clusters.script.failure_code = ErrorCode.API_NOT_READY
    await clusters.send(handle, "replace_machine", machine="workers-1")
    while clusters.script.count(names.DRAIN_NODE) < 8:
        await clusters.send(handle, "retry")
        await asyncio.sleep(0.1)
    await clusters.until(handle, lambda status: ended(status, "ReplaceMachine"))
    assert clusters.script.removed == ["workers-1"]
    assert clusters.script.count(names.DRAIN_NODE) == 8


async def test_a_machine_that_is_off_is_switched_on(clusters: Clusters) -> None:
    handle = await clusters.start("off")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.states["workers-2"] = MachineState.STOPPED
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: ended(status, "RepairMachine"))
    assert (clusters.script.count(names.FENCE_MACHINE), clusters.script.removed) == (1, ["workers-2"])
    assert clusters.script.count(names.DELETE_MACHINE) == 0
    assert clusters.script.graceful == [False]
    await clusters.send(handle, "retry")
    status = await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    assert status.waiting_on == ""


async def test_a_restart_in_vain_is_followed_by_a_replacement(clusters: Clusters) -> None:
    handle = await clusters.start("broken")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.failures[names.BOOT_MACHINE] = 3
    clusters.script.states["workers-2"] = MachineState.STOPPED
    await clusters.send(handle, "retry")
    status = await clusters.until(handle, lambda status: ended(status, "RepairMachine", "Failed"))
    assert status.phase == Phase.DEGRADED
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: ended(status, "RepairMachine"))
    assert clusters.script.count(names.DELETE_MACHINE) == 1
    assert clusters.script.graceful == [False, False]


async def test_nothing_is_removed_while_vault_is_away(clusters: Clusters) -> None:
    handle = await clusters.start("vault-away")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.failures[names.ENSURE_AUTHORITY] = 1000
    clusters.script.states["workers-2"] = MachineState.ABSENT
    await clusters.send(handle, "retry")
    before = clusters.script.count(names.ENSURE_AUTHORITY)
    await clusters.until(handle, lambda _: clusters.script.count(names.ENSURE_AUTHORITY) > before + 3)
    assert clusters.script.removed == []
    await clusters.send(handle, "delete")
    clusters.script.failures.clear()
    await handle.result()


async def test_a_provider_that_is_away_is_told(clusters: Clusters) -> None:
    handle = await clusters.start("unseen")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.failures[names.OBSERVE_MACHINES] = 1
    await clusters.send(handle, "retry")
    status = await clusters.until(handle, lambda status: bool(status.waiting_on))
    assert (status.phase, "ObserveMachines failed" in status.waiting_on) == (Phase.RUNNING, True)
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: not status.waiting_on)


async def test_a_machine_that_is_not_well_is_seen_by_itself(skipping_clusters: Clusters) -> None:
    clusters = skipping_clusters
    handle = await clusters.start("looked-at")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.states["workers-2"] = MachineState.STOPPED
    await clusters.until(handle, lambda status: ended(status, "RepairMachine"))
    assert clusters.script.removed == ["workers-2"]
    await clusters.send(handle, "delete")  # an idle cluster would keep the server's time from flying for others
    await handle.result()
