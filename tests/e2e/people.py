"""The programs that people use, run as they run them."""

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from deploy.stack import Stack
from planning.releases import load_releases
from tests.support.stack import RELEASE
from tests.support.temporal import temporal_cli
from workers.worker.wiring import installed

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "deploy" / "examples"
G8S = Path(sysconfig.get_path("scripts")) / "g8s"
SECONDS = 60


def run(*command: str | Path, ok: bool | None = True) -> str:
    """Run a program in the project's folder and return what it printed; with ``ok`` None it may fail or not."""
    done = attempt(*command)
    assert ok in {None, done.returncode == 0}, done.stdout + done.stderr
    return done.stdout


def attempt(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a program that may fail."""
    return subprocess.run(
        [str(part) for part in command], cwd=PROJECT, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def temporal(stack: Stack, *arguments: str) -> str:
    """Run the temporal CLI against the stack."""
    return run(temporal_cli(), *arguments, "--address", stack.temporal_address)


def start_example(stack: Stack, name: str) -> str:
    """Start the cluster of an example as the cheat sheet has it; returns the id of its workflow."""
    workflow = f"cluster/default/{example(name)['metadata']['name']}"
    temporal(
        stack,
        *("workflow", "start", "--type", "Cluster", "--task-queue", "clusters", "--workflow-id", workflow),
        *("--input-file", f"deploy/examples/{name}.json", "--id-conflict-policy", "UseExisting"),
    )
    return workflow


def update_example(stack: Stack, workflow: str, name: str) -> str:
    """Send an update with its example as the cheat sheet has it; returns the answer."""
    wanted = ("--workflow-id", workflow, "--name", name, "--input-file", f"deploy/examples/{name}.json")
    return temporal(stack, "workflow", "update", "execute", *wanted)


def example(name: str) -> dict[str, Any]:
    """Return what an example says."""
    return dict(json.loads((EXAMPLES / f"{name}.json").read_text()))


def kubectl(kubeconfig: Path, *arguments: str, ok: bool | None = True, release: str = RELEASE) -> str:
    """Run a release's own kubectl."""
    return run(kubectl_path(release), "--kubeconfig", kubeconfig, *arguments, ok=ok)


def pods_ready(kubeconfig: Path, *which: str) -> bool:
    """Say whether pods are there and all of them become Ready within 40 seconds."""
    wait = ("wait", "--for=condition=Ready", "pod", *which, "--timeout=40s")
    return attempt(kubectl_path(), "--kubeconfig", kubeconfig, *wait).returncode == 0


def kubectl_path(release: str = RELEASE) -> Path:
    """Return a release's own kubectl."""
    return installed(load_releases()[release])["kubectl"]


def administrator(name: str, kubeconfig: Path) -> Path:
    """Have g8s write an administrator's kubeconfig, and wait until every node has pods that use the cluster."""
    group = ("--group", "giantnetes:cluster-admins", "--break-glass")
    run(G8S, "kubeconfig", name, *group, "--output", kubeconfig)
    for workload in ("deployment/coredns", "daemonset/kube-proxy"):
        kubectl(kubeconfig, "rollout", "status", workload, "--namespace", "kube-system", f"--timeout={SECONDS}s")
    return kubeconfig


def ready_nodes(kubeconfig: Path) -> dict[str, dict[str, Any]]:
    """Return the nodes that kubectl shows as Ready, by name."""
    nodes = json.loads(kubectl(kubeconfig, "get", "nodes", "--output", "json"))["items"]
    ready = {"Ready": "True"}.items()
    return {
        node["metadata"]["name"]: node
        for node in nodes
        if ready <= {item["type"]: item["status"] for item in node["status"]["conditions"]}.items()
    }


def internal_address(node: dict[str, Any]) -> str:
    """Return the address at which a node's cluster reaches it."""
    (address,) = [item["address"] for item in node["status"]["addresses"] if item["type"] == "InternalIP"]
    return str(address)
