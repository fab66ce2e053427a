"""A guest cluster as people make it: by the temporal CLI, kubectl and g8s, from the files in deploy/examples."""

import json
import os
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.client import Client

from api.status import ClusterStatus, Phase
from deploy.stack import Stack
from planning.releases import load_releases
from tests.support.clusters import Handle, until_created
from tests.support.leaks import collect, leaks
from tests.support.stack import RELEASE
from tests.support.temporal import temporal_cli
from workers.worker.wiring import installed

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
G8S = Path(sysconfig.get_path("scripts")) / "g8s"

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Demo:
    """The cluster of deploy/examples/demo.json, with a kubeconfig that g8s made."""

    handle: Handle
    status: ClusterStatus
    kubeconfig: Path


def run(*command: str | Path, ok: bool = True) -> str:
    """Run a program as a person would and return what it printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout


def temporal(stack: Stack, *arguments: str) -> str:
    """Run the temporal CLI against the stack."""
    return run(temporal_cli(), *arguments, "--address", stack.temporal_address)


def kubectl(kubeconfig: Path, *arguments: str, ok: bool = True) -> str:
    """Run the release's own kubectl."""
    return run(installed(load_releases()[RELEASE])["kubectl"], "--kubeconfig", kubeconfig, *arguments, ok=ok)


@pytest.fixture(scope="module")
async def demo(stack: Stack, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo cluster, started by the temporal CLI."""
    temporal(
        stack,
        *("workflow", "start", "--type", "Cluster", "--task-queue", "clusters"),
        *("--workflow-id", "cluster/default/demo", "--input-file", str(EXAMPLES / "demo.json")),
    )
    handle: Handle = client.get_workflow_handle("cluster/default/demo", result_type=str)
    status = await until_created(client, handle)
    assert status.phase == Phase.RUNNING, status.waiting_on
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    run(G8S, "kubeconfig", "demo", "--group", "giantnetes:cluster-admins", "--break-glass", "--output", kubeconfig)
    return Demo(handle, status, kubeconfig)


def test_nodes_are_ready(demo: Demo) -> None:
    nodes = json.loads(kubectl(demo.kubeconfig, "get", "nodes", "-o", "json"))["items"]
    assert len(nodes) == 3
    for node in nodes:
        ready = [item["status"] for item in node["status"]["conditions"] if item["type"] == "Ready"]
        assert ready == ["True"]
        assert node["status"]["addresses"][0]["address"].startswith("127.")
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.37.2"


def test_add_ons_are_there(demo: Demo) -> None:
    names = kubectl(demo.kubeconfig, "get", "deployments,daemonsets", "-n", "kube-system", "-o", "name").split()
    assert {"deployment.apps/coredns", "daemonset.apps/kube-proxy"} <= set(names)


def test_a_plain_user_may_do_nothing_until_bound(demo: Demo, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    run(G8S, "kubeconfig", "demo", "--user", "jane", "--group", "developers", "--output", plain)
    assert kubectl(plain, "auth", "can-i", "list", "pods", ok=False).strip() == "no"
    kubectl(demo.kubeconfig, "create", "clusterrolebinding", "devs", "--clusterrole=view", "--group=developers")
    assert kubectl(plain, "auth", "can-i", "list", "pods").strip() == "yes"
    assert plain.stat().st_mode & 0o077 == 0


def test_privileged_groups_need_a_word(demo: Demo, tmp_path: Path) -> None:
    del demo
    done = subprocess.run(
        [str(G8S), "kubeconfig", "demo", "--group", "system:masters", "--output", str(tmp_path / "x")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "break-glass" in done.stderr or "breakGlass" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_is_told_by_every_door(demo: Demo, stack: Stack) -> None:
    query = temporal(stack, "workflow", "query", "--workflow-id", "cluster/default/demo", "--type", "status")
    assert "Running" in query
    details = temporal(stack, "workflow", "metadata", "--workflow-id", "cluster/default/demo")
    assert "Verify by using the cluster" in details
    assert "Running" in run(G8S, "status", "demo")
    assert "demo" in run(G8S, "list")
    found = temporal(stack, "workflow", "list", "--query", 'ClusterPhase="Running" AND ClusterOwner="acme"')
    assert "cluster/default/demo" in found


def test_an_unsupported_change_is_refused_by_field(demo: Demo, stack: Stack, tmp_path: Path) -> None:
    del demo
    spec = json.loads((EXAMPLES / "demo.json").read_text())["spec"]
    change = tmp_path / "change.json"
    change.write_text(json.dumps({"spec": {**spec, "release": "1.36.3-1"}}))
    done = subprocess.run(
        [
            *(temporal_cli(), "workflow", "update", "execute", "--workflow-id", "cluster/default/demo"),
            *("--name", "apply", "--input-file", str(change), "--address", stack.temporal_address),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "spec.release" in done.stdout + done.stderr


def test_nothing_is_left_over_and_logs_are_there(demo: Demo) -> None:
    del demo
    assert "kube-apiserver" in run(G8S, "logs", "demo")
    assert run(G8S, "logs", "demo", "control-plane-1", "etcd").strip()
    run(G8S, "leftovers")


async def test_no_secret_leaks_and_a_planted_one_is_found(demo: Demo, stack: Stack, client: Client) -> None:
    del demo
    assert await leaks(stack.state, client) == []
    planted = stack.logs / "planted.log"
    planted.write_text(collect(stack.state)[0].text)
    try:
        assert len(await leaks(stack.state, client)) == 1
    finally:
        planted.unlink()


async def test_the_worker_idles(demo: Demo, stack: Stack) -> None:
    """At most 1 % of a core; measured over ten seconds, in which nobody asks for anything."""
    del demo
    worker = next(p for p in psutil.process_iter(["cmdline"]) if _is_worker(p, stack))
    before = worker.cpu_times()
    psutil.cpu_percent(interval=10)
    after = worker.cpu_times()
    assert (after.user + after.system - before.user - before.system) / 10 < 0.01


def _is_worker(process: Any, stack: Stack) -> bool:
    if process.info["cmdline"] is None or "workers.worker" not in process.info["cmdline"]:
        return False
    return process.environ().get("GIANTNETES_STATE") == str(stack.state) or os.getpid() == process.pid


async def test_deletes_by_the_cli_and_leaves_nothing(demo: Demo, stack: Stack) -> None:
    temporal(
        stack,
        *("workflow", "update", "execute", "--workflow-id", "cluster/default/demo"),
        *("--name", "delete", "--input", '{"reason": "end of the test"}'),
    )
    assert "nothing is left" in await demo.handle.result()
    cluster_id = demo.status.cluster_id or ""
    assert not list((stack.state / "machines").glob(f"{cluster_id}*"))
    folder = str(stack.state / "machines" / cluster_id)
    assert not [p.pid for p in psutil.process_iter(["cmdline"]) if folder in " ".join(p.info["cmdline"] or [])]
    run(G8S, "leftovers")
