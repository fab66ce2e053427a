"""Reports to resources on a real API server: what is written, what is left, and what comes too late."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.kubernetes.client import Answer, KubernetesClient
from activities.kubernetes.connection import HostApi
from activities.kubernetes.host import GREATEST_SEQUENCE, HostActivities
from api.cluster import ClusterSpec
from api.errors import ErrorCode
from api.resource import FINALIZER
from api.status import ClusterStatus, Phase
from contracts.errors import StepError
from contracts.reporting import ApiHealth, ResourceEvent, ResourceReference, StatusReport
from tests.e2e.people import kubectl
from tests.support.host import host_cluster
from tests.support.resources import cluster_document

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    with host_cluster() as stack:
        yield stack.host_kubeconfig


@pytest.fixture
def host(kubeconfig: Path) -> HostActivities:
    return HostActivities(HostApi(kubeconfig))


@pytest.fixture
def resource(kubeconfig: Path, tmp_path: Path) -> Iterator[ResourceReference]:
    """A resource that is held by our finalizer."""
    document = cluster_document("told")
    document["metadata"]["finalizers"] = [FINALIZER, "others.example/too"]
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(document))
    kubectl(kubeconfig, "apply", "--filename", str(file))
    yield ResourceReference(namespace="default", name="told", uid=read(kubeconfig)["metadata"]["uid"])
    if kubectl(kubeconfig, "get", "cluster", "told", "--ignore-not-found"):
        patch = '{"metadata": {"finalizers": []}}'
        kubectl(kubeconfig, "patch", "cluster", "told", "--type=merge", "--patch", patch)
        kubectl(kubeconfig, "delete", "cluster", "told", "--ignore-not-found")


def read(kubeconfig: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl(kubeconfig, "get", "cluster", "told", "--output", "json"))
    return found


def report(
    resource: ResourceReference, sequence: int, phase: Phase = Phase.RUNNING, **changes: Any
) -> StatusReport:
    status = ClusterStatus(name="told", namespace="default", phase=phase, generation=1, observed_generation=1)
    return StatusReport(
        resource=resource,
        sequence=sequence,
        reported_at=NOW + timedelta(seconds=sequence),
        spec=ClusterSpec.model_validate(cluster_document()["spec"]),
        status=status,
        health=ApiHealth(available=True, message="answers", control_plane=["control-plane-1"]),
        **changes,
    )


def test_what_kubectl_shows_is_what_was_told(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference
) -> None:
    assert host.report_status(report(resource, 3)).sequence == 3
    row = kubectl(kubeconfig, "get", "cluster", "told", "--no-headers").split()
    assert row[:6] == ["told", "True", "1.37.2-1", "Running", "1/1", "0/2"]
    kubectl(kubeconfig, "wait", "--for=condition=Available", "cluster/told", "--timeout=5s")


def test_nothing_is_written_when_there_is_nothing_new(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference
) -> None:
    host.report_status(report(resource, 3))
    before = read(kubeconfig)["metadata"]["resourceVersion"]
    host.report_status(report(resource, 4))
    assert read(kubeconfig)["metadata"]["resourceVersion"] == before


def test_what_was_written_last_needs_no_reading_before_the_next(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = KubernetesClient.ask

    def watched(client: KubernetesClient, method: str, *arguments: Any) -> Answer:
        asked.append(method)
        return ask(client, method, *arguments)

    monkeypatch.setattr(KubernetesClient, "ask", watched)
    host.report_status(report(resource, 3))
    host.report_status(report(resource, 4, Phase.DEGRADED))
    assert asked == ["GET", "PATCH", "PATCH"]
    host.report_status(report(resource, 5, Phase.DEGRADED))
    assert asked[3:] == ["GET"]  # nothing is new but what somebody may have edited
    host.report_status(report(resource, 6))
    kubectl(kubeconfig, "label", "cluster", "told", "edited=yes")
    host.report_status(report(resource, 7, Phase.DEGRADED))
    assert asked[4:] == ["GET", "PATCH", "PATCH", "GET", "PATCH"]
    assert (read(kubeconfig)["status"]["phase"], read(kubeconfig)["metadata"]["labels"]["edited"]) == (
        "Degraded",
        "yes",
    )


def test_what_was_written_last_may_be_gone(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference
) -> None:
    host.report_status(report(resource, 3))
    patch = '{"metadata": {"finalizers": []}}'
    kubectl(kubeconfig, "patch", "cluster", "told", "--type=merge", "--patch", patch)
    host.report_status(report(resource, 4, Phase.DEGRADED))
    kubectl(kubeconfig, "delete", "cluster", "told")
    assert host.report_status(report(resource, 5)).gone


def test_a_late_report_changes_nothing(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference
) -> None:
    host.report_status(report(resource, 5))
    assert host.report_status(report(resource, 4, Phase.CREATING)).sequence == 5
    assert read(kubeconfig)["status"]["phase"] == "Running"


def test_another_resource_of_the_name_is_not_touched(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference
) -> None:
    other = resource.model_copy(update={"uid": "another"})
    assert host.report_status(report(other, 5)).gone
    assert host.release_resource(other).gone
    assert "status" not in read(kubeconfig)
    assert host.report_status(report(resource.model_copy(update={"name": "missing"}), 5)).gone


@pytest.mark.parametrize(
    "nonsense",
    [
        {"sequence": GREATEST_SEQUENCE},
        {"phase": "Failed", "conditions": []},
        {"recentOperations": []},
    ],
)
def test_a_status_that_was_edited_by_hand_is_written_anew(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference, nonsense: dict[str, Any]
) -> None:
    host.report_status(report(resource, 3))
    patch = json.dumps({"status": nonsense})
    kubectl(kubeconfig, "patch", "cluster", "told", "--subresource=status", "--type=merge", "--patch", patch)
    host.report_status(report(resource, 4, Phase.DEGRADED))
    found = read(kubeconfig)["status"]
    assert (found["phase"], len(found["conditions"]), found["sequence"]) == ("Degraded", 9, 4)


def test_a_condition_of_somebody_else_stays(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference
) -> None:
    host.report_status(report(resource, 3))
    theirs = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "lastTransitionTime": "2026-11-26T00:00:00Z",
    }
    conditions = [*read(kubeconfig)["status"]["conditions"], theirs]
    patch = json.dumps({"status": {"conditions": conditions}})
    kubectl(kubeconfig, "patch", "cluster", "told", "--subresource=status", "--type=merge", "--patch", patch)
    host.report_status(report(resource, 4, Phase.DEGRADED))
    found = read(kubeconfig)["status"]
    assert found["phase"] == "Degraded"
    assert "Accepted" in {condition["type"] for condition in found["conditions"]}
    before = read(kubeconfig)["metadata"]["resourceVersion"]
    host.report_status(report(resource, 5, Phase.DEGRADED))
    assert read(kubeconfig)["metadata"]["resourceVersion"] == before


def test_an_event_is_made_once(kubeconfig: Path, host: HostActivities, resource: ResourceReference) -> None:
    event = ResourceEvent(key="create.begun", reason="CreateClusterStarted", message="started", at=NOW)
    for sequence in (1, 2):
        host.report_status(report(resource, sequence, events=[event]))
    options = ("--field-selector", f"involvedObject.uid={resource.uid}", "--output", "jsonpath={.items[*].reason}")
    assert kubectl(kubeconfig, "get", "events", *options) == "CreateClusterStarted"


def test_a_resource_is_let_go_and_other_finalizers_stay(
    kubeconfig: Path, host: HostActivities, resource: ResourceReference
) -> None:
    for _ in range(2):
        host.release_resource(resource)
    metadata = read(kubeconfig)["metadata"]
    assert metadata["finalizers"] == ["others.example/too"]
    assert "deletionTimestamp" in metadata


def test_a_host_cluster_that_is_away_has_a_name(tmp_path: Path, resource: ResourceReference) -> None:
    broken = tmp_path / "kubeconfig"
    broken.write_text("nonsense")
    with pytest.raises(StepError) as raised:
        HostActivities(HostApi(broken)).report_status(report(resource, 1))
    assert raised.value.code is ErrorCode.HOST_API_DENIED
    with pytest.raises(StepError) as raised:
        HostActivities(HostApi(None)).report_status(report(resource, 1))
    assert raised.value.code is ErrorCode.HOST_API_DENIED
