"""The entity workflow: create, delete, and what people may ask for in between."""

import asyncio
from functools import partial

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError

from api.errors import ErrorCode
from api.status import ClusterStatus, Phase, StepStatus
from contracts import activities as names
from contracts import queues
from contracts.machines import Leftover
from contracts.vault import UserCertificate
from contracts.workflows import CLUSTER
from tests.workflows.conftest import Clusters


async def test_creates_then_deletes(clusters: Clusters) -> None:
    handle = await clusters.start("create-delete")
    status = await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    assert status.endpoint == "https://127.64.1.11:6443"
    assert status.observed_generation == 1
    assert clusters.script.count(names.BOOT_MACHINE) == 3
    assert clusters.script.count(names.SEAL_SECRETS) == 1
    answer = await clusters.send(handle, "delete", reason="test")
    assert "deleted" in answer.message
    assert "nothing is left" in await handle.result()
    assert clusters.script.count(names.LIST_MACHINE_LEFTOVERS) == 2
    assert clusters.script.calls[-1] == names.RELEASE_CLAIMS


async def test_failed_steps_are_retried_and_shown(clusters: Clusters) -> None:
    clusters.script.failures[names.AWAIT_API] = 2
    handle = await clusters.start("retried")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    assert clusters.script.count(names.AWAIT_API) == 3


async def test_retry_update_does_not_wait_for_the_backoff(clusters: Clusters) -> None:
    clusters.script.failures[names.VERIFY_CLUSTER] = 7
    handle = await clusters.start("retry-now")
    await clusters.until(handle, lambda status: _attempt(status, "verify") >= 5)
    for attempt in (6, 7, 8, 9):
        await clusters.send(handle, "retry")
        await clusters.until(handle, partial(_is_running_or_at, attempt))
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)


async def test_cancel_update_undoes_an_unfinished_create(clusters: Clusters) -> None:
    clusters.script.gates[names.AWAIT_API] = asyncio.Event()
    handle = await clusters.start("undo")
    await clusters.until(handle, lambda _: clusters.script.count(names.AWAIT_API) > 0)
    await clusters.send(handle, "cancel")
    assert "undone" in await handle.result()
    assert clusters.script.count(names.DELETE_MACHINES) == 1
    assert clusters.script.count(names.VERIFY_CLUSTER) == 0


async def test_temporal_cancel_undoes_an_unfinished_create(clusters: Clusters) -> None:
    clusters.script.gates[names.BOOT_MACHINE] = asyncio.Event()
    handle = await clusters.start("undo-cancel")
    await clusters.until(handle, lambda _: clusters.script.count(names.BOOT_MACHINE) > 0)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert isinstance(failure.value.cause, CancelledError)
    assert clusters.script.count(names.DELETE_MACHINES) == 1


async def test_temporal_cancel_never_deletes_a_living_cluster(clusters: Clusters) -> None:
    handle = await clusters.start("cancel-living")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    first = (await handle.describe()).run_id
    for _ in range(2):
        await handle.cancel()
        latest = clusters.client.get_workflow_handle(handle.id, result_type=str)
        while (description := await latest.describe()).run_id == first:
            await asyncio.sleep(0.05)
        first = description.run_id
        status = await clusters.status(latest)
        assert status.phase == Phase.RUNNING
        assert status.endpoint == "https://127.64.1.11:6443"
    assert clusters.script.count(names.DELETE_MACHINES) == 0
    await clusters.send(latest, "delete")
    await latest.result()


async def test_delete_in_the_middle_of_a_create(clusters: Clusters) -> None:
    clusters.script.failures[names.ENSURE_AUTHORITY] = 1000
    handle = await clusters.start("delete-early")
    await clusters.until(handle, lambda status: _attempt(status, "authorities") > 1)
    await clusters.send(handle, "delete")
    assert "nothing is left" in await handle.result()


async def test_pause_holds_and_resume_goes_on(clusters: Clusters) -> None:
    gate = clusters.script.gates[names.CLAIM] = asyncio.Event()
    handle = await clusters.start("pause")
    await clusters.until(handle, lambda _: clusters.script.count(names.CLAIM) > 0)
    await clusters.send(handle, "pause")
    # The entity passes the wish on after it has answered; a step that ends in between is still followed.
    await clusters.signaled(f"{handle.id}/create", "pause")
    gate.set()
    await clusters.until(handle, lambda status: _state(status, "claim") == "Done")
    assert clusters.script.count(names.BOOT_MACHINE) == 0
    assert (await clusters.status(handle)).paused
    await clusters.send(handle, "resume")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)


async def test_an_operation_that_starts_paused_calls_nothing(clusters: Clusters) -> None:
    handle = await clusters.start("start-paused")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "pause")
    calls = len(clusters.script.calls)
    await clusters.send(handle, "delete")
    status = await clusters.until(handle, lambda status: status.phase == Phase.DELETING)
    assert status.paused
    assert _state(status, "find") in {"", "Waiting"}
    assert len(clusters.script.calls) == calls
    await clusters.send(handle, "resume")
    assert "nothing is left" in await handle.result()
    assert (await clusters.status(handle)).endpoint is None


async def test_a_terminated_operation_has_failed(clusters: Clusters) -> None:
    clusters.script.gates[names.AWAIT_API] = asyncio.Event()
    handle = await clusters.start("operation-terminated")
    await clusters.until(handle, lambda status: _state(status, "api") == "Running")
    await clusters.client.get_workflow_handle(f"{handle.id}/create").terminate("test")
    status = await clusters.until(handle, lambda status: status.phase == Phase.FAILED)
    assert status.operation
    assert (status.operation.outcome, status.operation.finished_at is None) == ("Failed", False)
    assert _state(status, "api") == "Failed"
    assert "terminated" in status.waiting_on
    clusters.script.gates.clear()
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)


async def test_a_paused_create_can_be_deleted_while_its_activity_fails(clusters: Clusters) -> None:
    clusters.script.gates[names.AWAIT_API] = asyncio.Event()
    clusters.script.stubborn = {names.AWAIT_API}
    handle = await clusters.start("stubborn")
    await clusters.until(handle, lambda _: clusters.script.count(names.AWAIT_API) > 0)
    await clusters.send(handle, "pause")
    await clusters.send(handle, "delete")
    await clusters.until(handle, lambda status: status.phase == Phase.DELETING)
    await clusters.send(handle, "resume")
    assert "nothing is left" in await handle.result()


async def test_what_only_the_workflow_sets_is_refused(clusters: Clusters) -> None:
    handle = await clusters.start("donor")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await handle.cancel()
    first = await handle.describe()
    latest = clusters.client.get_workflow_handle(handle.id, result_type=str)
    while (await latest.describe()).run_id == first.run_id:
        await asyncio.sleep(0.05)
    history = await latest.fetch_history()
    copied = history.events[0].workflow_execution_started_event_attributes.input.payloads
    await clusters.send(latest, "delete")
    await latest.result()
    (start,) = await clusters.client.data_converter.decode(copied)
    again = await clusters.client.start_workflow(
        CLUSTER, start, id=handle.id, task_queue=queues.CLUSTERS, result_type=str
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await again.result()
    assert "carried" in str(failure.value.cause)


async def test_unknown_release_fails_the_run_at_once(clusters: Clusters) -> None:
    handle = await clusters.start("no-release", release="9.9.9-9")
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert "spec.release" in str(failure.value.cause)
    assert clusters.script.calls == []


async def test_a_refused_claim_fails_the_run(clusters: Clusters) -> None:
    clusters.script.fatal = {names.CLAIM}
    handle = await clusters.start("refused")
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "impossible" in str(failure.value.cause)


async def test_a_deletion_that_was_forgotten_can_be_ended(clusters: Clusters) -> None:
    clusters.script.fatal, clusters.script.fatal_code = {names.CLAIM}, ErrorCode.CLUSTER_DELETED
    handle = await clusters.start("half-deleted")
    status = await clusters.until(handle, lambda status: status.phase == Phase.FAILED)
    assert "ClusterDeleted" in status.waiting_on
    await clusters.send(handle, "delete")
    assert "nothing is left" in await handle.result()


async def test_unsupported_change_is_refused_by_field(clusters: Clusters) -> None:
    handle = await clusters.start("change")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    spec = {"provider": "simulated", "owner": "other", "release": "1.36.3-1", "nodePools": []}
    with pytest.raises(WorkflowUpdateFailedError) as failure:
        await clusters.send(handle, "apply", spec=spec)
    for field in ("spec.owner", "spec.release", "spec.nodePools"):
        assert field in str(failure.value.cause)
    same = {
        "provider": "simulated",
        "owner": "acme",
        "release": "1.37.2-1",
        "nodePools": [{"name": "workers", "replicas": 2}],
    }
    assert (await clusters.send(handle, "apply", spec=same, generation=3)).generation == 3


async def test_a_failed_delete_is_tried_again_by_another_delete(clusters: Clusters) -> None:
    handle = await clusters.start("delete-again")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.fatal = {names.DELETE_SECRETS}
    await clusters.send(handle, "delete")
    await clusters.until(handle, lambda status: status.phase == Phase.FAILED)
    clusters.script.fatal = set()
    clusters.script.gates[names.DELETE_MACHINES] = asyncio.Event()
    await clusters.send(handle, "delete")
    assert (await clusters.status(handle)).phase == Phase.DELETING
    clusters.script.gates[names.DELETE_MACHINES].set()
    assert "nothing is left" in await handle.result()


async def test_leftovers_are_removed_again(clusters: Clusters) -> None:
    handle = await clusters.start("leftovers")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.left = [Leftover(kind="machine", name="ghost", cluster_id="c1")]
    await clusters.send(handle, "delete")
    await handle.result()
    assert clusters.script.count(names.DELETE_MACHINES) == 2


async def test_kubeconfig_is_signed_and_privileged_groups_are_refused(clusters: Clusters) -> None:
    handle = await clusters.start("kubeconfig")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    request = {"request": "csr", "user": "jane", "groups": ["developers"]}
    certificate = await handle.execute_update("kubeconfig", request, result_type=UserCertificate)
    assert certificate.certificate == "for jane"
    with pytest.raises(WorkflowUpdateFailedError, match="Workflow update failed") as failure:
        await handle.execute_update("kubeconfig", {**request, "groups": ["system:masters"]})
    assert "breakGlass" in str(failure.value.cause)


async def test_final_failure_waits_for_a_person(clusters: Clusters) -> None:
    clusters.script.fatal = {names.ENSURE_ADDONS}
    handle = await clusters.start("fatal")
    status = await clusters.until(handle, lambda status: status.phase == Phase.FAILED)
    assert "QuotaExceeded" in status.waiting_on
    clusters.script.fatal = set()
    await clusters.send(handle, "retry")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)


async def test_terminated_entity_starts_again_and_adopts(clusters: Clusters) -> None:
    handle = await clusters.start("terminated")
    await clusters.until(handle, lambda _: clusters.script.count(names.BOOT_MACHINE) > 0)
    await handle.terminate("test")
    again = await clusters.start("terminated")
    status = await clusters.until(again, lambda status: status.phase == Phase.RUNNING)
    assert status.cluster_id == clusters.script.pinned["terminated"]


async def test_cancelling_an_adoption_leaves_the_living_cluster_alone(clusters: Clusters) -> None:
    handle = await clusters.start("adopted")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await handle.terminate("as if Temporal had lost it")
    clusters.script.gates[names.AWAIT_API] = asyncio.Event()
    again = await clusters.start("adopted")
    await clusters.until(again, lambda _: clusters.script.count(names.AWAIT_API) > 1)
    await clusters.send(again, "cancel")
    status = await clusters.until(again, lambda status: status.phase == Phase.FAILED)
    assert "deletes no living cluster" in status.waiting_on
    assert clusters.script.count(names.DELETE_MACHINES) == 0
    clusters.script.gates.clear()
    await clusters.send(again, "retry")
    await clusters.until(again, lambda status: status.phase == Phase.RUNNING)


async def test_a_create_that_can_not_be_planned_can_be_cancelled(clusters: Clusters) -> None:
    clusters.script.unplannable = 100
    handle = await clusters.start("unplannable")
    await clusters.until(handle, lambda status: "VaultUnavailable" in status.waiting_on)
    clusters.script.unplannable = 3
    await clusters.send(handle, "cancel")
    assert "undone" in await handle.result()
    assert clusters.script.count(names.BOOT_MACHINE) == 0


async def test_pause_is_over_after_continue_as_new_and_resume(clusters: Clusters) -> None:
    handle = await clusters.start("paused-on")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "pause")
    first = (await handle.describe()).run_id
    await handle.cancel()
    latest = clusters.client.get_workflow_handle(handle.id, result_type=str)
    while (await latest.describe()).run_id == first:
        await asyncio.sleep(0.05)
    assert (await clusters.status(latest)).paused
    await clusters.send(latest, "resume")
    status = await clusters.status(latest)
    assert (status.phase, status.paused) == (Phase.RUNNING, False)


async def test_a_long_outage_is_survived(skipping_clusters: Clusters) -> None:
    skipping_clusters.script.failures[names.AWAIT_API] = 40
    handle = await skipping_clusters.start("outage")
    await skipping_clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
    # Time flies for it: left alone it would look at its machines without a pause.
    await skipping_clusters.send(handle, "delete")
    await handle.result()


def _is_running_or_at(attempt: int, status: ClusterStatus) -> bool:
    return status.phase == Phase.RUNNING or _attempt(status, "verify") >= attempt


def _attempt(status: ClusterStatus, name: str) -> int:
    step = _step(status, name)
    return step.attempt if step else 0


def _state(status: ClusterStatus, name: str) -> str:
    step = _step(status, name)
    return step.state if step else ""


def _step(status: ClusterStatus, name: str) -> StepStatus | None:
    steps = status.operation.steps if status.operation else []
    return next((step for step in steps if step.name == name), None)
