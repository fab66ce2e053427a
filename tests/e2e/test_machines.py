"""Machines of a real cluster, replaced because somebody asks and repaired because they are broken."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.client import Client

from api.status import ClusterStatus, Phase
from deploy.stack import Stack
from tests.chaos import living, outside
from tests.e2e.people import administrator, kubectl, ready_nodes, temporal
from tests.support.clusters import Handle, delete, start, status, until_created
from tests.support.leaks import LeakSearch

NAME = "mended"
PODS = ("--image", "registry.k8s.io/pause:3.10", "--replicas", "4")

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Mended:
    """A cluster of one control plane machine and two nodes, on which a deployment runs."""

    stack: Stack
    handle: Handle
    cluster_id: str
    kubeconfig: Path

    def instances(self) -> dict[str, str]:
        """Return the instance id of each machine."""
        return living.instances(self.stack, self.cluster_id)

    def replace(self, machine: str) -> str:
        """Ask for a replacement as the cheat sheet has it; return the answer."""
        wanted = json.dumps({"machine": machine, "reason": "test"})
        update = ("--workflow-id", self.handle.id, "--name", "replace_machine", "--input", wanted)
        return temporal(self.stack, "workflow", "update", "execute", *update)

    async def retry(self) -> None:
        """Ask for a look at the machines now."""
        update = ("--workflow-id", self.handle.id, "--name", "retry", "--input", "{}")
        await asyncio.to_thread(temporal, self.stack, "workflow", "update", "execute", *update)

    async def after(self, operations: int) -> ClusterStatus:
        """Wait until a number of operations has ended, and return the status then."""
        while len((found := await status(self.handle)).recent_operations) < operations:
            await asyncio.sleep(0.2)
        return found

    def running(self) -> int:
        """Return how many pods of the deployment are available."""
        found = json.loads(kubectl(self.kubeconfig, "get", "deployment", NAME, "-o", "json"))
        return int(found["status"].get("availableReplicas", 0))


@pytest.fixture(scope="module")
async def mended(
    stack: Stack, client: Client, leak_search: LeakSearch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mended]:
    """The cluster, made and used."""
    handle = await start(client, NAME, provider="local")
    created = await until_created(client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    await asyncio.to_thread(administrator, NAME, kubeconfig)
    leak_search.collect(created.cluster_id or "", kubeconfig)
    kubectl(kubeconfig, "create", "deployment", NAME, *PODS)
    kubectl(kubeconfig, "rollout", "status", f"deployment/{NAME}", "--timeout=60s")
    yield Mended(stack, handle, created.cluster_id or "", kubeconfig)
    assert "nothing is left" in await delete(handle)
    assert living.traces(stack, created.cluster_id or "") == []


async def test_a_node_is_replaced(mended: Mended) -> None:
    before = mended.instances()
    by_hand = mended.stack.state / "machines" / mended.cluster_id / "workers-1" / "state" / "by-hand"
    by_hand.write_text("")
    assert "machine workers-1 will be replaced" in mended.replace("workers-1")
    found = await mended.after(2)
    assert (found.recent_operations[-1].type, found.recent_operations[-1].outcome) == (
        "ReplaceMachine",
        "Succeeded",
    )
    changed = {name for name, instance in mended.instances().items() if instance != before[name]}
    assert changed == {"workers-1"}
    assert not by_hand.exists()
    nodes = ready_nodes(mended.kubeconfig)
    assert set(nodes) == {"workers-1", "workers-2"}
    assert not any(node["spec"].get("unschedulable") for node in nodes.values())
    kubectl(mended.kubeconfig, "rollout", "status", f"deployment/{NAME}", "--timeout=60s")
    assert mended.running() == 4


async def test_a_control_plane_machine_is_replaced_and_its_data_stays(mended: Mended) -> None:
    before = mended.instances()
    kubectl(mended.kubeconfig, "create", "configmap", "kept", "--from-literal=key=value")
    kubectl(mended.kubeconfig, "create", "secret", "generic", "sealed", "--from-literal=key=value")
    mended.replace("control-plane-1")
    found = await mended.after(3)
    assert found.recent_operations[-1].outcome == "Succeeded"
    changed = {name for name, instance in mended.instances().items() if instance != before[name]}
    assert changed == {"control-plane-1"}
    kept = kubectl(mended.kubeconfig, "get", "configmap/kept", "secret/sealed", "-o", "name")
    assert kept.split() == ["configmap/kept", "secret/sealed"]
    assert mended.running() == 4


async def test_a_machine_that_was_switched_off_is_switched_on(mended: Mended) -> None:
    before = mended.instances()
    await asyncio.to_thread(outside.local(mended.stack).fence_machine, mended.cluster_id, "workers-2")
    await mended.retry()
    found = await mended.after(4)
    assert (found.recent_operations[-1].type, found.recent_operations[-1].outcome) == (
        "RepairMachine",
        "Succeeded",
    )
    assert mended.instances() == before
    assert set(ready_nodes(mended.kubeconfig)) == {"workers-1", "workers-2"}


async def test_a_machine_that_is_gone_is_made_anew(mended: Mended) -> None:
    before = mended.instances()
    await asyncio.to_thread(outside.local(mended.stack).delete_machine, mended.cluster_id, "control-plane-1")
    await mended.retry()
    found = await mended.after(5)
    assert (found.recent_operations[-1].type, found.recent_operations[-1].outcome) == (
        "RepairMachine",
        "Succeeded",
    )
    assert mended.instances()["control-plane-1"] != before["control-plane-1"]
    assert kubectl(mended.kubeconfig, "get", "configmap/kept", "-o", "name").strip() == "configmap/kept"


async def test_without_its_data_a_control_plane_is_not_made_anew(mended: Mended) -> None:
    """An empty cluster under the old one's name would look healthy, and everything in it would be lost."""
    await asyncio.to_thread(outside.local(mended.stack).delete_machine, mended.cluster_id, "control-plane-1")
    volume = mended.stack.state / "volumes" / mended.cluster_id / "control-plane-1"
    kept = volume.with_name("elsewhere")
    volume.rename(kept)
    await mended.retry()
    found = await mended.after(6)
    assert (found.phase, found.recent_operations[-1].outcome) == (Phase.DEGRADED, "Failed")
    assert "VolumeLost: the etcd data of control-plane-1 is not at" in found.waiting_on
    shutil.rmtree(volume, ignore_errors=True)
    kept.rename(volume)
    await mended.retry()
    found = await mended.after(7)
    assert found.recent_operations[-1].outcome == "Succeeded"
    assert kubectl(mended.kubeconfig, "get", "configmap/kept", "-o", "name").strip() == "configmap/kept"
