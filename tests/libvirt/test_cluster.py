"""A cluster of real virtual machines, made by the workflow and used with kubectl."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.client import Client

from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.places import Places
from api.status import Phase
from deploy.stack import Stack
from tests.e2e.people import G8S, kubectl, ready_nodes, run
from tests.libvirt.rooms import URI
from tests.support.clusters import Handle, delete, start, status, until_created
from tests.support.stack import running_stack
from workers.client import connect

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif("G8S_ROOM" not in os.environ, reason="virtual machines are made by `just test-libvirt`"),
]
SPEC = {
    "provider": "libvirt",
    "controlPlane": {"machine": {"cpus": 2, "memoryMiB": 2048}},
    "nodePools": [{"name": "workers", "replicas": 1, "machine": {"cpus": 2, "memoryMiB": 2048}}],
}


@dataclass
class Guest:
    """A living cluster, with an administrator's kubeconfig."""

    handle: Handle
    cluster_id: str
    kubeconfig: Path
    hypervisor: Hypervisor
    places: Places

    def kubectl(self, *arguments: str, ok: bool = True) -> str:
        return kubectl(self.kubeconfig, *arguments, ok=ok)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        yield running


@contextmanager
def hypervisor_worker(stack: Stack) -> Iterator["subprocess.Popen[bytes]"]:
    """The small worker of this hypervisor."""
    settings = {**os.environ, **stack.temporal_settings, "GIANTNETES_VIRTUALIZATION": "qemu"}
    log = stack.state / "hypervisor.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.hypervisor"], env=settings, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
async def client(stack: Stack) -> Client:
    assert os.environ["TEMPORAL_ADDRESS"] == stack.temporal_address
    return await connect()


@pytest.fixture(scope="module")
async def guest(stack: Stack, client: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guest]:
    """One control plane machine and one node."""
    places = Places(stack.state / "hypervisor")
    with hypervisor_worker(stack):
        began = time.monotonic()
        handle = await start(client, "virtual", **SPEC)
        found = await until_created(client, handle)
        assert found.phase == Phase.RUNNING, found.waiting_on
        print(f"created in {time.monotonic() - began:.1f} s")  # noqa: T201
        kubeconfig = tmp_path_factory.mktemp("kube") / "config"
        group = ("--group", "giantnetes:cluster-admins", "--break-glass")
        await asyncio.to_thread(run, G8S, "kubeconfig", "virtual", *group, "--output", kubeconfig)
        cluster_id = found.cluster_id or ""
        yield Guest(handle, cluster_id, kubeconfig, Hypervisor(URI, places.volumes), places)


def test_the_node_is_ready(guest: Guest) -> None:
    nodes = ready_nodes(guest.kubeconfig)
    assert list(nodes) == ["workers-1"]
    info = nodes["workers-1"]["status"]["nodeInfo"]
    assert info["kubeletVersion"] == "v1.37.2"
    assert info["containerRuntimeVersion"].startswith("containerd://")


def test_add_ons_run(guest: Guest) -> None:
    for workload in ("daemonset/kube-proxy", "deployment/coredns"):
        guest.kubectl("rollout", "status", workload, "--namespace", "kube-system", "--timeout=50s")


async def test_a_delete_leaves_nothing(guest: Guest) -> None:
    """The last test of this file."""
    assert (await status(guest.handle)).phase == Phase.RUNNING
    await delete(guest.handle)
    assert guest.hypervisor.domains() == []
    assert guest.hypervisor.networks() == []
    assert guest.hypervisor.volume_names() == []
    assert list((guest.places.machines).iterdir()) == []
    await asyncio.to_thread(run, G8S, "leftovers")
