"""Bad days that people make for the bridge, on real API server, Temporal and worker; simulated machines."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from api.resource import CONFIRM_DELETION, OPERATION
from deploy.stack import Stack
from tests.e2e.people import attempt, kubectl_path
from tests.support.resourced import Json, Resourced, condition
from tests.support.resources import cluster_document
from tests.workers.bridge.conftest import DEFAULT, kube_client
from workers.bridge.kit.kube import Kube

pytestmark = pytest.mark.timeout(400)


async def test_of_ten_edits_in_a_second_the_last_wins_and_few_are_tried(stack: Stack, clusters: Resourced) -> None:
    edits: list[Json] = [{"release": f"9.9.{number}-1"} for number in range(9)]
    edits.append({"nodePools": [{"name": "workers", "replicas": 1}]})
    async with await kube_client(stack.host_kubeconfig) as client:
        kube, began = Kube(client, 10_000), time.monotonic()
        for edit in edits:
            path = f"{DEFAULT}/edited?fieldManager=test"
            await kube.send("PATCH", path, cluster_document("edited", **edit), "application/apply-patch+yaml")
        assert time.monotonic() - began < 1
    found = clusters.until("edited", lambda found: condition(found, "Available").get("status") == "True")
    assert found["status"]["nodes"]["ready"] == "1/1"
    assert len(found["status"]["recentOperations"]) <= len(edits) / 2
    clusters.delete("edited")


def test_a_status_that_was_edited_by_hand_is_written_anew(clusters: Resourced) -> None:
    clusters.apply("painted")
    clusters.until_available("painted")
    patch = json.dumps({"status": {"phase": "Failed", "conditions": [], "clusterId": ""}})
    clusters.kubectl("patch", "cluster", "painted", "--subresource=status", "--type=merge", "--patch", patch)
    clusters.operate("painted", "retry")
    found = clusters.until("painted", lambda found: found["status"]["phase"] == "Running")
    assert found["status"]["clusterId"]
    assert condition(found, "Accepted")["status"] == "True"
    clusters.delete("painted")


def test_what_a_later_definition_would_not_take_any_more_lives_on_and_can_be_deleted(clusters: Resourced) -> None:
    clusters.apply("wide", nodePools=[{"name": "workers", "replicas": 2}])
    clusters.until_available("wide")
    pool = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/nodePools/items/properties"
    told = clusters.kubectl("get", "crd", "clusters.giantnetes.io", "--output", "json")
    known = json.loads(told)
    for key in pool.removeprefix("/").split("/"):
        known = known[int(key) if key.isdigit() else key]

    def limit(replicas: int) -> None:
        patch = json.dumps([{"op": "replace", "path": f"{pool}/replicas/maximum", "value": replicas}])
        clusters.kubectl("patch", "crd", "clusters.giantnetes.io", "--type=json", "--patch", patch)

    limit(1)
    try:
        deadline = time.monotonic() + 30
        while "created" in (shown := _dry_run(clusters, "wider")):
            assert time.monotonic() < deadline, shown
            time.sleep(0.5)
        clusters.operate("wide", "pause")
        clusters.until("wide", lambda found: condition(found, "Paused")["status"] == "True")
        clusters.operate("wide", "resume")
        clusters.delete("wide")
    finally:
        limit(known["replicas"]["maximum"])


def _dry_run(clusters: Resourced, name: str) -> str:
    file = clusters.written(name, nodePools=[{"name": "workers", "replicas": 2}])
    command = ("create", "--dry-run=server", "--filename", file)
    return attempt(kubectl_path(), "--kubeconfig", clusters.kubeconfig, *command).stdout


def test_what_a_later_definition_would_take_is_refused_in_words_and_can_be_deleted(clusters: Resourced) -> None:
    field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/provider/enum/-"
    patch = json.dumps([{"op": "add", "path": field, "value": "cloud"}])
    clusters.kubectl("patch", "crd", "clusters.giantnetes.io", "--type=json", "--patch", patch)
    deadline = time.monotonic() + 30
    file = clusters.written("future", provider="cloud")
    while attempt(kubectl_path(), "--kubeconfig", clusters.kubeconfig, "apply", "--filename", file).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    found = clusters.until("future", lambda found: condition(found, "Accepted").get("status") == "False")
    assert "spec.provider" in condition(found, "Accepted")["message"]
    clusters.delete("future")


HOSTILE: list[tuple[str, str]] = [
    ("note", "x" * 200_000),
    (OPERATION, "жüλ" * 1000),
    (OPERATION, "replace-machine=" + "x" * 5000),
    (OPERATION, "replace-machine=../../etc/passwd\nretry"),
    (CONFIRM_DELETION, "yes"),
]


def test_hostile_input_harms_nobody(clusters: Resourced, tmp_path: Path) -> None:
    for name in ("UPPER", "x" * 41, "ünï", "with.dots"):
        assert "metadata.name" in clusters.refused(name) or "Invalid value" in clusters.refused(name)
    huge = clusters.written("huge")
    document = json.loads(huge.read_text())
    document["metadata"]["annotations"] = {"note": "x" * 1_000_000}
    huge.write_text(json.dumps(document))
    create = attempt(kubectl_path(), "--kubeconfig", clusters.kubeconfig, "create", "--filename", huge)
    assert (create.returncode, "metadata.annotations: Too long" in create.stderr) == (1, True), create.stderr
    clusters.apply("hostile")
    clusters.until_available("hostile")
    for key, value in HOSTILE:
        patch = tmp_path / "patch.json"
        patch.write_text(json.dumps({"metadata": {"annotations": {key: value}}}))
        clusters.kubectl("patch", "cluster", "hostile", "--type=merge", "--patch-file", str(patch))
        if key == OPERATION:
            found = clusters.until("hostile", _taken_up)
            assert len(condition(found, "Accepted")["message"]) <= 1000
            assert condition(found, "Accepted")["status"] == "True"
    found = clusters.read("hostile") or {}
    assert condition(found, "Available")["status"] == "True"
    assert len(found["status"]["recentOperations"]) == 1
    clusters.delete("hostile")


def _taken_up(found: Json) -> bool:
    annotations: dict[str, Any] = found["metadata"]["annotations"]
    return OPERATION not in annotations
