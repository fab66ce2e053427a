"""Renewing the certificates of a living cluster."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from api.conditions import ConditionType, Reason
from api.errors import ErrorCode
from api.resource import Condition
from api.status import ClusterStatus, Phase
from contracts import activities as names
from contracts.reporting import ResourceReference, StatusReport
from contracts.workflows import proposed_id
from planning.certificates import rotation_time
from planning.conditions import conditions
from tests.support.clusters import Handle
from tests.support.resources import cluster
from tests.workflows.conftest import Clusters
from tests.workflows.test_machines import ended, since
from workflows import policies

ROTATION = "RotateCertificates"
MACHINES = ("control-plane-1", "workers-1", "workers-2")


def rotations(status: ClusterStatus) -> int:
    return sum(record.type == ROTATION for record in status.recent_operations)


def certificates_valid(status: ClusterStatus, first_end: datetime) -> Condition:
    """Return what a resource says of a cluster's certificates six days before the first of them ends."""
    report = StatusReport(
        resource=ResourceReference(namespace=status.namespace, name=status.name, uid="u-1"),
        sequence=1,
        reported_at=first_end - timedelta(days=6),
        spec=cluster().spec,
        status=status,
        certificate_expires_at=first_end,
    )
    told = conditions(report, [], lived=True)
    return next(each for each in told if each.type == ConditionType.CERTIFICATES_VALID)


async def timers(clusters: Clusters, handle: Handle) -> list[tuple[str, timedelta, datetime]]:
    """Return a cluster's timers as the Web UI shows them: what is said of each, how long it is, when it began."""
    decode = clusters.client.data_converter.decode
    found = []
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED and event.user_metadata.HasField("summary"):
            [name] = await decode([event.user_metadata.summary], [str])
            wait = event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
            found.append((name, wait, event.event_time.ToDatetime(UTC)))
    return found


async def test_each_machine_makes_keys_is_given_certificates_and_shows_them(clusters: Clusters) -> None:
    handle = await clusters.start("rotated")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    first = len(clusters.script.calls)
    answer = await clusters.send(handle, "rotate_certificates", reason="test", requested_by="jane")
    assert answer.message == "all certificates will be renewed"
    status = await clusters.until(handle, lambda status: ended(status, ROTATION))
    assert (status.phase, status.unrenewed) == (Phase.RUNNING, {})
    assert status.recent_operations[-1].requested_by == "jane"
    calls = since(clusters, first)
    assert calls[:3] == [names.ENSURE_AUTHORITY] * 3
    order = [names.RENEW_KEYS, names.SIGN_CERTIFICATES, names.INSTALL_MACHINE, names.VERIFY_SERVING]
    assert {name: calls.count(name) for name in order} == dict.fromkeys(order, 3)
    assert status.rotate_at
    assert timedelta(0) < status.rotate_at - datetime.now(UTC) <= timedelta(days=1)


async def test_they_are_renewed_at_their_time_of_day(skipping_clusters: Clusters) -> None:
    clusters = skipping_clusters
    now, soon = datetime.now(UTC), timedelta(minutes=3)
    cluster_id = proposed_id("default", "daily", "first-uid")
    times_of_day = (f"{minute // 60:02}:{minute % 60:02}" for minute in range(24 * 60))
    specs = [{"certificates": {"rotationTime": time}} for time in times_of_day]
    due = {rotation_time(cluster("daily", **spec).spec, cluster_id, now): spec for spec in specs}
    first = min(at for at in due if at > now + soon)
    handle = await clusters.start("daily", uid="first-uid", **due[first])
    status = await clusters.until(handle, lambda status: rotations(status) == 1)
    assert status.cluster_id == cluster_id
    ended = status.recent_operations[-1]
    assert first <= ended.started_at < first + timedelta(minutes=1)
    assert (ended.outcome, ended.requested_by) == ("Succeeded", "")
    assert status.rotate_at == first + timedelta(days=1)


async def test_when_they_are_due_is_shown_as_a_timer_with_a_name(clusters: Clusters) -> None:
    handle = await clusters.start("timed")
    status = await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    at = status.rotate_at
    assert at
    while not (found := [timer for timer in await timers(clusters, handle) if timer[0].startswith("rotate")]):
        await asyncio.sleep(0.05)
    [(name, wait, begun)] = found
    assert name == f"rotate certificates, {at:%d %b %H:%M} UTC"
    assert abs(begun + wait - at) < timedelta(seconds=1)


async def test_a_machine_that_does_not_answer_holds_nobody_back(skipping_clusters: Clusters) -> None:
    clusters = skipping_clusters
    handle = await clusters.start("partly")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.silent.add("workers-1")
    await clusters.send(handle, "rotate_certificates")
    status = await clusters.until(handle, lambda status: rotations(status) == 1)
    assert list(status.unrenewed) == ["workers-1"]
    assert "MachineNotReady: machine workers-1 does not answer" in status.unrenewed["workers-1"]
    ended_at = status.recent_operations[-1].finished_at
    assert status.rotate_at
    assert status.rotate_at <= ended_at + timedelta(hours=1, minutes=1)
    # It is tried again within the hour.
    clusters.script.silent.clear()
    status = await clusters.until(handle, lambda status: not status.unrenewed)
    assert rotations(status) >= 2


async def test_a_control_plane_machine_that_does_not_answer_holds_nobody_back(
    skipping_clusters: Clusters,
) -> None:
    clusters = skipping_clusters
    handle = await clusters.start("headless", controlPlane={"replicas": 3})
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    first = len(clusters.script.calls)
    clusters.script.silent.add("control-plane-1")
    await clusters.send(handle, "rotate_certificates")
    status = await clusters.until(handle, lambda status: rotations(status) == 1)
    assert status.recent_operations[-1].outcome == "Succeeded"
    assert list(status.unrenewed) == ["control-plane-1"]
    assert "MachineNotReady: machine control-plane-1 does not answer" in status.unrenewed["control-plane-1"]
    calls, others = since(clusters, first), len(("control-plane-2", "control-plane-3", *MACHINES[1:]))
    assert calls.count(names.RENEW_KEYS) == policies.RENEWAL_TRIES + others
    assert calls.count(names.SIGN_CERTIFICATES) == calls.count(names.VERIFY_SERVING) == others
    told = certificates_valid(status, clusters.script.expires_at)
    assert (told.status, told.reason) == ("False", Reason.NOT_RENEWED)
    assert f"the first ends at {clusters.script.expires_at:%Y-%m-%d}" in told.message
    assert "control-plane-1 was not renewed (MachineNotReady: " in told.message


async def test_before_it_lives_a_cluster_has_nothing_to_renew(clusters: Clusters) -> None:
    clusters.script.failures[names.CLAIM] = 1000
    handle = await clusters.start("unborn")
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await clusters.send(handle, "rotate_certificates")
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == ErrorCode.API_NOT_READY


async def test_it_waits_for_resume(clusters: Clusters) -> None:
    handle = await clusters.start("held")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "pause")
    answer = await clusters.send(handle, "rotate_certificates")
    assert answer.message.endswith("once it is resumed")
    await clusters.send(handle, "retry")  # it looks at its machines, and at nothing else
    assert clusters.script.count(names.RENEW_KEYS) == 0
    await clusters.send(handle, "resume")
    await clusters.until(handle, lambda status: ended(status, ROTATION))


async def test_it_goes_after_what_was_asked_for_before(clusters: Clusters) -> None:
    handle = await clusters.start("ordered")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.failures[names.DELETE_MACHINE] = 1
    await clusters.send(handle, "replace_machine", machine="workers-1")
    await clusters.send(handle, "rotate_certificates")
    status = await clusters.until(handle, lambda status: ended(status, ROTATION))
    assert [record.type for record in status.recent_operations[-2:]] == ["ReplaceMachine", ROTATION]


async def test_a_sealed_vault_is_waited_for(clusters: Clusters) -> None:
    handle = await clusters.start("sealed")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.failure_code = ErrorCode.VAULT_SEALED
    clusters.script.failures[names.SIGN_CERTIFICATES] = 3
    await clusters.send(handle, "rotate_certificates")
    status = await clusters.until(handle, lambda status: ended(status, ROTATION))
    assert status.unrenewed == {}


async def test_one_that_was_cancelled_leaves_the_cluster_as_it_is(clusters: Clusters) -> None:
    handle = await clusters.start("stopped")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.failures[names.SIGN_CERTIFICATES] = 1000
    await clusters.send(handle, "rotate_certificates")
    await clusters.until(handle, lambda status: bool(status.operation and status.operation.type == ROTATION))
    await clusters.send(handle, "cancel")
    status = await clusters.until(handle, lambda status: ended(status, ROTATION, "Cancelled"))
    assert (status.phase, status.unrenewed) == (Phase.RUNNING, {})
    assert status.rotate_at
    assert status.rotate_at < datetime.now(UTC) + timedelta(hours=1)


async def test_clients_are_waited_for_and_told_of_when_they_are_late(skipping_clusters: Clusters) -> None:
    clusters = skipping_clusters
    clusters.script.audited = {"kubelet-client"}
    handle = await clusters.start("watched")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.unseen = {f"workers-1/kubelet-client/{count:02x}" for count in range(20)}
    await clusters.send(handle, "rotate_certificates")
    await clusters.until(handle, lambda status: ended(status, ROTATION))
    status = await clusters.until(handle, lambda status: bool(status.stale_clients))
    assert status.stale_clients == ["kubelet-client of workers-1"]
    clusters.script.unseen.clear()
    await clusters.until(handle, lambda status: not status.stale_clients)


async def test_another_lifetime_is_followed_at_once(clusters: Clusters) -> None:
    handle = await clusters.start("changed")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    spec = cluster(certificates={"leafTTLHours": 48}).spec
    answer = await clusters.send(handle, "apply", spec=spec.model_dump(by_alias=True, exclude_unset=True))
    assert answer.message == "certificates will be as they are specified now"
    status = await clusters.until(handle, lambda status: ended(status, ROTATION))
    again = await clusters.send(handle, "apply", spec=spec.model_dump(by_alias=True, exclude_unset=True))
    assert again.message == "nothing to change"
    assert rotations(status) == 1


async def test_another_time_of_day_renews_nothing(clusters: Clusters) -> None:
    handle = await clusters.start("later")
    before = await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    now, usual = datetime.now(UTC), cluster().spec.certificates.rotation_time
    other = next(at for hours in (6, 7) if (at := f"{(now + timedelta(hours=hours)).hour:02}:00") != usual)
    spec = cluster(certificates={"rotationTime": other}).spec
    await clusters.send(handle, "apply", spec=spec.model_dump(by_alias=True, exclude_unset=True))
    status = await clusters.until(handle, lambda status: status.rotate_at not in {None, before.rotate_at})
    assert rotations(status) == 0


async def test_a_change_during_a_rotation_is_followed_after_it(clusters: Clusters) -> None:
    handle = await clusters.start("meanwhile")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    gate = clusters.script.gates[names.VERIFY_SERVING] = asyncio.Event()
    await clusters.send(handle, "rotate_certificates")
    await clusters.until(handle, lambda _: clusters.script.count(names.VERIFY_SERVING) > 0)
    spec = cluster(certificates={"leafTTLHours": 48}).spec
    await clusters.send(handle, "apply", spec=spec.model_dump(by_alias=True, exclude_unset=True))
    gate.set()
    status = await clusters.until(handle, lambda status: rotations(status) == 2)
    assert [record.outcome for record in status.recent_operations[-2:]] == ["Succeeded", "Succeeded"]


async def test_a_delete_ends_a_rotation_and_nothing_is_renewed_of_what_goes(clusters: Clusters) -> None:
    handle = await clusters.start("ending")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    gate = clusters.script.gates[names.INSTALL_MACHINE] = asyncio.Event()
    await clusters.send(handle, "rotate_certificates")
    await clusters.until(handle, lambda _: clusters.script.count(names.INSTALL_MACHINE) > len(MACHINES))
    await clusters.send(handle, "delete")
    with pytest.raises(WorkflowUpdateFailedError):
        await clusters.send(handle, "rotate_certificates")
    gate.set()
    assert "nothing is left" in await handle.result()
    assert clusters.script.count(names.VERIFY_SERVING) == 0


async def test_a_control_plane_machine_that_shows_something_else_has_the_others_left_alone(
    clusters: Clusters,
) -> None:
    handle = await clusters.start("careful", controlPlane={"replicas": 3})
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.fatal.add(names.VERIFY_SERVING)
    clusters.script.fatal_code = ErrorCode.CERTIFICATE_NOT_SERVED
    await clusters.send(handle, "rotate_certificates")
    status = await clusters.until(handle, lambda status: ended(status, ROTATION))
    assert status.unrenewed["control-plane-1"].startswith("CertificateNotServed: ")
    for slot in ("control-plane-2", "control-plane-3"):
        assert status.unrenewed[slot] == "left alone, because of control-plane-1"
    assert clusters.script.count(names.RENEW_KEYS) == 3  # the first slot, and two nodes


async def test_machines_are_looked_at_and_repaired_while_vault_is_away_for_long(
    skipping_clusters: Clusters,
) -> None:
    clusters = skipping_clusters
    handle = await clusters.start("sealed-long")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    clusters.script.failure_code = ErrorCode.VAULT_SEALED
    clusters.script.failures[names.ENSURE_AUTHORITY] = 1000
    await clusters.send(handle, "rotate_certificates")
    status = await clusters.until(handle, lambda status: rotations(status) == 1)
    failed = status.recent_operations[-1]
    assert (failed.outcome, status.paused) == ("Failed", False)
    assert timedelta(minutes=5) < failed.finished_at - failed.started_at < timedelta(minutes=15)
    looks = clusters.script.count(names.OBSERVE_MACHINES)
    clusters.script.failures.clear()
    await clusters.until(handle, lambda _: clusters.script.count(names.OBSERVE_MACHINES) > looks)
    status = await clusters.status(handle)
    assert status.rotate_at
    assert status.rotate_at - failed.finished_at < timedelta(hours=1, minutes=1)
