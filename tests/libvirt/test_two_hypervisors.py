"""A cluster over two hypervisors: its network reaches over both, and a silent one keeps no deletion waiting.

Run by itself: the machine has no room for a second cluster beside it.
"""

import asyncio
import contextlib
import errno
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from api.status import ClusterStatus, Phase
from contracts.hypervisors import HypervisorPhase, HypervisorStatus
from contracts.workflows import Accepted
from deploy.stack import Stack
from tests.e2e.people import G8S, kubectl, pods_ready, ready_nodes, run
from tests.libvirt.guests import enrol, hypervisor_worker, in_a_room
from tests.libvirt.machines import MACHINES, SPEC
from tests.libvirt.second import FIRST, SECOND, SecondHypervisor, second_hypervisor
from tests.support.clusters import Handle, delete, start, status, until_created
from tests.support.stack import say

pytestmark = in_a_room
MACHINE_MTU = 1450
"""What VXLAN leaves of Ethernet's 1500 bytes."""
HEADERS = 28
"""Bytes of IPv4 and UDP."""
POOLS = [{**SPEC["nodePools"][0], "replicas": 1}]


@dataclass
class Spread:
    """A living cluster over two hypervisors."""

    handle: Handle
    status: ClusterStatus
    kubeconfig: Path
    hypervisors: list[WorkflowHandle[Any, str]]
    second: SecondHypervisor
    workers: contextlib.ExitStack
    environment: dict[str, str]

    async def tell(self, number: int, update: str) -> None:
        """Send an update to a hypervisor."""
        await self.hypervisors[number].execute_update(update, {"reason": "test"}, result_type=Accepted)

    def start_second(self, stack: Stack) -> None:
        """Start the second hypervisor's worker."""
        self.workers.enter_context(hypervisor_worker(stack, "second", self.second.prefix, **self.environment))

    async def moved(self, *expected: list[str]) -> None:
        """Wait until the hypervisors have these machines, the newest of which work."""
        while [await machines(one) for one in self.hypervisors] != [*expected]:
            await asyncio.sleep(1)
        while (found := await status(self.handle)).phase is Phase.REPAIRING:
            await asyncio.sleep(1)
        assert found.phase == Phase.RUNNING, found.waiting_on
        say("; ".join(f"{ended.type} {ended.outcome} {ended.message}" for ended in found.recent_operations))
        assert set(await asyncio.to_thread(ready_nodes, self.kubeconfig)) == set(MACHINES)


@pytest.fixture(scope="module")
async def spread(stack: Stack, client: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Spread]:
    """One control plane machine on one hypervisor, one node on the other."""
    port = int(stack.temporal_address.rpartition(":")[2])
    with second_hypervisor(port) as second, contextlib.ExitStack() as workers:
        there = {"GIANTNETES_HYPERVISOR_ADDRESS": SECOND, "TEMPORAL_ADDRESS": f"{FIRST}:{port}"}
        with hypervisor_worker(stack, GIANTNETES_HYPERVISOR_ADDRESS=FIRST):
            workers.enter_context(hypervisor_worker(stack, "second", second.prefix, **there))
            hypervisors = [await enrol(client, name) for name in ("first", "second")]
            handle = await start(client, "spread", **{**SPEC, "ingress": None, "nodePools": POOLS})
            found = await until_created(client, handle)
            assert found.phase == Phase.RUNNING, found.waiting_on
            kubeconfig = tmp_path_factory.mktemp("kube") / "config"
            group = ("--group", "giantnetes:cluster-admins", "--break-glass")
            await asyncio.to_thread(run, G8S, "kubeconfig", "spread", *group, "--output", kubeconfig)
            yield Spread(handle, found, kubeconfig, hypervisors, second, workers, there)


async def machines(hypervisor: WorkflowHandle[Any, str]) -> list[str]:
    found: HypervisorStatus = await hypervisor.query("status", result_type=HypervisorStatus)
    return sorted(machine.machine for machine in found.record.machines) if found.record else []


async def phase(hypervisor: WorkflowHandle[Any, str]) -> HypervisorPhase:
    found: HypervisorStatus = await hypervisor.query("status", result_type=HypervisorStatus)
    return found.phase


async def test_each_hypervisor_has_one_machine(spread: Spread) -> None:
    say(await asyncio.to_thread(run, G8S, "hypervisors"))
    say(kubectl(spread.kubeconfig, "get", "nodes,pods", "--all-namespaces", "--output", "wide"))
    say(spread.second.run("virsh", "list", "--all"))
    assert [await machines(one) for one in spread.hypervisors] == [["control-plane-1"], ["workers-1"]]
    assert len(spread.second.domains()) == 1
    assert set(ready_nodes(spread.kubeconfig)) == set(MACHINES)


def test_full_packets_reach_the_other_hypervisors_machine_and_longer_ones_are_refused(spread: Spread) -> None:
    """A port that nobody listens on answers: the whole packet arrived, as it may not be cut up."""
    addresses = [item["status"]["addresses"][0]["address"] for item in _nodes(spread)]
    for address in addresses:
        assert _sends(address, MACHINE_MTU - HEADERS), address
        assert not _sends(address, MACHINE_MTU - HEADERS + 1), address


def test_logs_of_a_pod_are_read_from_each_machine(spread: Spread) -> None:
    """The API server reaches the kubelet on the other hypervisor, and pods there reach DNS."""
    assert any(pods_ready(spread.kubeconfig, "--all", "--namespace", "kube-system") for _ in range(5))
    pods = kubectl(spread.kubeconfig, "get", "pods", "-n", "kube-system", "-o", "name").split()
    assert any("coredns" in pod for pod in pods)
    for pod in pods:
        assert kubectl(spread.kubeconfig, "logs", "-n", "kube-system", pod)


async def test_what_fits_nowhere_is_told_with_what_is_free(spread: Spread, client: Client) -> None:
    large = {"name": "large", "replicas": 1, "machine": {"cpus": 1, "memoryMiB": 65536}}
    handle = await start(client, "large", **{**SPEC, "ingress": None, "nodePools": [large]})
    while not (told := _errors(await status(handle))):
        await asyncio.sleep(0.5)
    say(told)
    assert "no hypervisor has room for machine large-1" in told
    assert all(f"{name}: " in told for name in ("first", "second"))
    assert "nothing is left" in await delete(handle)
    assert len(spread.second.domains()) == 1


@pytest.mark.timeout(1800)
async def test_nodes_of_a_dead_hypervisor_are_made_elsewhere_and_removed_when_it_is_back(
    spread: Spread, stack: Stack
) -> None:
    """Its power goes; somebody gives a word for it; and when it has power again, its old machine comes up too."""
    [domain] = spread.second.domains()
    spread.workers.close()
    spread.second.run("virsh", "destroy", domain)
    while await phase(spread.hypervisors[1]) is not HypervisorPhase.SILENT:
        await asyncio.sleep(1)
    await spread.tell(1, "declare_dead")
    await spread.moved(["control-plane-1", "workers-1"], [])
    spread.second.run("virsh", "start", domain)
    spread.start_second(stack)
    while await _owes(spread.hypervisors[1]):
        await asyncio.sleep(1)
    assert spread.second.domains() == []
    await spread.tell(1, "uncordon")
    assert await phase(spread.hypervisors[1]) is HypervisorPhase.READY


@pytest.mark.timeout(1800)
async def test_an_evacuated_hypervisor_keeps_what_has_a_volume_alone(spread: Spread) -> None:
    await spread.tell(0, "evacuate")
    await spread.moved(["control-plane-1"], ["workers-1"])
    assert len(spread.second.domains()) == 1
    assert await phase(spread.hypervisors[0]) is HypervisorPhase.CORDONED
    await spread.tell(0, "uncordon")


@pytest.mark.timeout(900)
async def test_a_silent_hypervisor_keeps_no_deletion_waiting_and_is_swept(spread: Spread, stack: Stack) -> None:
    spread.workers.close()
    await delete(spread.handle)
    assert len(spread.second.domains()) == 1
    say(left := await asyncio.to_thread(run, G8S, "leftovers", ok=False))
    assert "second/everything" in left
    spread.start_second(stack)
    while await _owes(spread.hypervisors[1]):
        await asyncio.sleep(1)
    assert await phase(spread.hypervisors[1]) is HypervisorPhase.READY
    assert spread.second.domains() == []
    assert "g8s" not in spread.second.run("ip", "-brief", "link")
    say(await asyncio.to_thread(run, G8S, "hypervisors"))
    await asyncio.to_thread(run, G8S, "leftovers")


def _errors(found: ClusterStatus) -> str:
    """Return what the steps that are under way say."""
    steps = found.operation.steps if found.operation else []
    return "; ".join(step.last_error.message for step in steps if step.last_error)


async def _owes(hypervisor: WorkflowHandle[Any, str]) -> bool:
    found: HypervisorStatus = await hypervisor.query("status", result_type=HypervisorStatus)
    return bool(found.silent_since or (found.record and found.record.unswept))


def _nodes(spread: Spread) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(kubectl(spread.kubeconfig, "get", "nodes", "--output", "json"))[
        "items"
    ]
    return items


def _sends(address: str, size: int) -> bool:
    """Say whether a UDP packet of ``size`` bytes gets there whole, by the answer that nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO (ip(7))
        client.settimeout(10)
        client.connect((address, 9))
        try:
            client.send(b"x" * size)
            client.recv(1)
        except ConnectionRefusedError:
            return True
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return False
            raise
    raise AssertionError("somebody listens")
