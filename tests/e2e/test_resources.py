"""Clusters as resources: kubectl alone, on real API server, bridge, Temporal and worker; simulated machines."""

import json
import time
from pathlib import Path

import pytest

from api.resource import CONFIRM_DELETION, FINALIZER, REQUESTED_BY
from deploy.stack import Stack
from tests.e2e.people import G8S, attempt, kubectl_path, run, temporal
from tests.support.resourced import Resourced, condition
from tests.support.temporal import temporal_cli

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def clusters(stack: Stack, tmp_path: Path) -> Resourced:
    return Resourced(stack.host_kubeconfig, tmp_path)


def test_a_cluster_is_made_shown_and_deleted(clusters: Resourced) -> None:
    clusters.apply("made")
    found = clusters.until_available("made")
    status = found["status"]
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert status["observedGeneration"] == found["metadata"]["generation"] == 1
    assert {item["type"]: item["status"] for item in status["conditions"]} == {
        "Accepted": "True",
        "Available": "True",
        "ControlPlaneReady": "True",
        "NodesReady": "True",
        "CertificatesValid": "True",
        "UpToDate": "True",
        "Progressing": "False",
        "Degraded": "False",
        "Deleting": "False",
        "Paused": "False",
    }
    assert status["recentOperations"][0]["requestedBy"] == "kubernetes-admin"
    row = clusters.kubectl("get", "gcl", "made", "--no-headers").split()
    assert row[:6] == ["made", "True", "1.37.2-1", "Running", "1/1", "2/2"]
    reasons = ("--field-selector", f"involvedObject.uid={found['metadata']['uid']}")
    clusters.delete("made")
    told = clusters.kubectl("get", "events", *reasons, "--output", "jsonpath={.items[*].reason}").split()
    assert sorted(told) == [
        "CreateClusterStarted",
        "CreateClusterSucceeded",
        "DeleteClusterStarted",
        "DeleteClusterSucceeded",
    ]


def test_nothing_is_written_while_nothing_happens(clusters: Resourced) -> None:
    clusters.apply("quiet")
    clusters.until_available("quiet")
    time.sleep(3)
    before = clusters.read("quiet")
    time.sleep(40)  # one look at its API, and some
    assert clusters.read("quiet") == before
    clusters.delete("quiet")


def test_a_deletion_wants_to_be_confirmed(clusters: Resourced) -> None:
    clusters.apply("kept")
    clusters.until_available("kept")
    clusters.kubectl("delete", "cluster", "kept", "--wait=false")
    found = clusters.until("kept", lambda found: condition(found, "Accepted")["status"] == "False")
    uid = found["metadata"]["uid"]
    assert condition(found, "Accepted")["reason"] == "DeletionNotConfirmed"
    assert f"{CONFIRM_DELETION}={uid}" in condition(found, "Accepted")["message"]
    assert condition(found, "Available")["status"] == "True"
    clusters.kubectl("annotate", "cluster", "kept", f"{CONFIRM_DELETION}={uid}")
    clusters.until_gone("kept")


def test_operations_by_annotation_are_taken_up_and_answered(clusters: Resourced) -> None:
    clusters.apply("operated")
    clusters.until_available("operated")
    assert "no further step will start" in clusters.operate("operated", "pause")
    clusters.until("operated", lambda found: condition(found, "Paused")["status"] == "True")
    assert "going on" in clusters.operate("operated", "resume")
    assert "replaced" in clusters.operate("operated", "replace-machine=workers-1")
    clusters.until("operated", lambda found: len(found["status"]["recentOperations"]) == 2)
    assert "all certificates will be renewed" in clusters.operate("operated", "rotate-certificates")
    found = clusters.until("operated", lambda found: len(found["status"]["recentOperations"]) == 3)
    ended = found["status"]["recentOperations"][-1]
    told = {key: ended[key] for key in ("type", "outcome", "requestedBy")}
    assert told == {"type": "RotateCertificates", "outcome": "Succeeded", "requestedBy": "kubernetes-admin"}
    assert "there is no workers-9" in clusters.operate("operated", "replace-machine=workers-9")
    assert "choose one of" in clusters.operate("operated", "explode")
    assert condition(clusters.read("operated") or {}, "Accepted")["status"] == "True"
    clusters.delete("operated")


def test_an_abandoned_cluster_lives_on_and_is_adopted(clusters: Resourced) -> None:
    clusters.apply("orphan")
    identity = clusters.until_available("orphan")["status"]["clusterId"]
    clusters.abandon("orphan")
    assert "Running" in run(G8S, "status", "orphan")
    told = clusters.kubectl("get", "events", "--output", "jsonpath={.items[?(@.reason=='Abandoned')].message}")
    assert f"{identity} lives on with control-plane-1, workers-1, workers-2" in told
    clusters.apply("orphan")
    found = clusters.until_available("orphan")
    assert found["status"]["clusterId"] == identity
    assert [ended["type"] for ended in found["status"]["recentOperations"]] == ["CreateCluster"]
    clusters.delete("orphan")


def test_a_cluster_that_was_started_by_hand_is_adopted_and_deleted_by_hand(
    clusters: Resourced, stack: Stack, tmp_path: Path
) -> None:
    file = clusters.written("hand")
    start = ("--type", "Cluster", "--task-queue", "clusters", "--workflow-id", "cluster/default/hand")
    temporal(stack, "workflow", "start", *start, "--input-file", str(file))
    clusters.apply("hand")
    clusters.until_available("hand")
    update = ("workflow", "update", "execute", "--workflow-id", "cluster/default/hand", "--name")
    spec = tmp_path / "apply.json"
    spec.write_text(json.dumps({"spec": json.loads(file.read_text())["spec"]}))
    address = ("--address", stack.temporal_address)
    refused = attempt(temporal_cli(), *update, "apply", "--input-file", spec, *address)
    assert refused.returncode != 0
    assert "from the resource Cluster default/hand alone" in refused.stdout + refused.stderr
    temporal(stack, *update, "delete", "--input", json.dumps({"reason": "by hand"}))
    clusters.until_gone("hand")


def test_an_undone_create_can_be_made_again(clusters: Resourced) -> None:
    clusters.apply("undone", nodePools=[{"name": "workers", "replicas": 40}])
    first = clusters.until("undone", lambda found: bool(found.get("status", {}).get("operation")))
    assert "undone" in clusters.operate("undone", "cancel")
    found = clusters.until("undone", lambda found: found["status"]["phase"] == "Failed")
    assert "`retry` creates it again" in condition(found, "Degraded")["message"]
    clusters.operate("undone", "retry")
    found = clusters.until_available("undone")
    assert found["status"]["clusterId"] != first["status"]["clusterId"]
    clusters.delete("undone")
    run(G8S, "leftovers")


def test_a_resource_that_has_no_cluster_deletes_none(clusters: Resourced, stack: Stack) -> None:
    file = clusters.written("other")
    start = ("--type", "Cluster", "--task-queue", "clusters", "--workflow-id", "cluster/default/other")
    temporal(stack, "workflow", "start", *start, "--input-file", str(file))
    run(G8S, "status", "other", "--watch")
    clusters.apply("other", nodePools=[{"name": "workers", "replicas": 9}])
    found = clusters.until("other", lambda found: condition(found, "Accepted").get("status") == "False")
    assert "can't be changed" in condition(found, "Accepted")["message"]
    clusters.delete("other")
    assert "Running" in run(G8S, "status", "other")
    update = ("workflow", "update", "execute", "--workflow-id", "cluster/default/other", "--name", "delete")
    temporal(stack, *update, "--input", json.dumps({"reason": "test"}))
    run(G8S, "status", "other", "--watch")


def test_mistakes_are_told_at_once(clusters: Resourced) -> None:
    assert "belongs to acme" in clusters.refused("others", owner="umbrella")
    assert "provider" in clusters.refused("clouds", provider="cloud")
    assert "spec.nodePools[0].replicas" in clusters.refused("many", nodePools=[{"name": "a", "replicas": 1000}])
    assert "created (server dry run)" in clusters.apply("dry", "--dry-run=server")
    assert "How many nodes." in clusters.kubectl("explain", "cluster.spec.nodePools")


def test_who_asked_can_not_be_forged(clusters: Resourced) -> None:
    clusters.apply("forged")
    clusters.kubectl("annotate", "cluster", "forged", "--overwrite", f"{REQUESTED_BY}=president")
    found = clusters.until_available("forged")
    assert found["metadata"]["annotations"][REQUESTED_BY] == "kubernetes-admin"
    clusters.delete("forged")


def test_definitions_and_namespaces_with_clusters_are_protected(clusters: Resourced) -> None:
    command = ("delete", "crd", "clusters.giantnetes.io")
    done = attempt(kubectl_path(), "--kubeconfig", clusters.kubeconfig, *command)
    assert done.returncode != 0
    assert "delete those first" in done.stderr
    clusters.kubectl("create", "namespace", "umbrella")
    clusters.kubectl("label", "namespace", "umbrella", "giantnetes.io/owner=umbrella")
    done = attempt(kubectl_path(), "--kubeconfig", clusters.kubeconfig, "delete", "namespace", "umbrella")
    assert "delete those first" in done.stderr
    uid = clusters.kubectl("get", "namespace", "umbrella", "--output", "jsonpath={.metadata.uid}")
    clusters.kubectl("annotate", "namespace", "umbrella", f"{CONFIRM_DELETION}={uid}")
    clusters.kubectl("delete", "namespace", "umbrella", "--wait=false")


def test_releases_are_published_and_never_changed(clusters: Resourced) -> None:
    assert clusters.kubectl("get", "releases", "--output", "name").split() == [
        "release.giantnetes.io/1.36.3-1",
        "release.giantnetes.io/1.37.2-1",
    ]
    patch = '{"spec": {"etcd": {"version": "9.9.9"}}}'
    command = ("patch", "release", "1.37.2-1", "--type=merge", "--patch", patch)
    done = attempt(kubectl_path(), "--kubeconfig", clusters.kubeconfig, *command)
    assert "never changed" in done.stderr
    clusters.kubectl("delete", "release", "1.36.3-1")
    deadline = time.monotonic() + 20
    while not clusters.kubectl("get", "release", "1.36.3-1", "--ignore-not-found"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
