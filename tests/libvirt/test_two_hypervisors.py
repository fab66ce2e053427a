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
from deploy.stack import Stack
from tests.e2e.people import G8S, kubectl, ready_nodes, run
from tests.libvirt.guests import enrol, hypervisor_worker, in_a_room
from tests.libvirt.machines import SPEC
from tests.libvirt.second import FIRST, SECOND, SecondHypervisor, second_hypervisor
from tests.support.clusters import Handle, delete, start, until_created
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
            yield Spread(handle, found, kubeconfig, hypervisors, second, workers)


async def machines(hypervisor: WorkflowHandle[Any, str]) -> list[str]:
    found: HypervisorStatus = await hypervisor.query("status", result_type=HypervisorStatus)
    return [machine.machine for machine in found.record.machines] if found.record else []


async def test_each_hypervisor_has_one_machine(spread: Spread) -> None:
    say(await asyncio.to_thread(run, G8S, "hypervisors"))
    say(kubectl(spread.kubeconfig, "get", "nodes,pods", "--all-namespaces", "--output", "wide"))
    say(spread.second.run("virsh", "list", "--all"))
    assert len(spread.second.domains()) == 1
    assert len(ready_nodes(spread.kubeconfig)) == 2


def test_full_packets_reach_the_other_hypervisors_machine_and_longer_ones_are_refused(spread: Spread) -> None:
    """A port that nobody listens on answers: the whole packet arrived, as it may not be cut up."""
    addresses = [item["status"]["addresses"][0]["address"] for item in _nodes(spread)]
    for address in addresses:
        assert _sends(address, MACHINE_MTU - HEADERS), address
        assert not _sends(address, MACHINE_MTU - HEADERS + 1), address


def test_logs_of_a_pod_are_read_from_each_machine(spread: Spread) -> None:
    """The API server reaches the kubelet on the other hypervisor, and pods there reach DNS."""
    pods = kubectl(spread.kubeconfig, "get", "pods", "-n", "kube-system", "-o", "name").split()
    assert any("coredns" in pod for pod in pods)
    for pod in pods:
        assert kubectl(spread.kubeconfig, "logs", "-n", "kube-system", pod)


@pytest.mark.timeout(900)
async def test_a_silent_hypervisor_keeps_no_deletion_waiting_and_is_swept(spread: Spread, stack: Stack) -> None:
    spread.workers.close()
    await delete(spread.handle)
    assert len(spread.second.domains()) == 1
    say(left := await asyncio.to_thread(run, G8S, "leftovers", ok=False))
    assert "second/everything" in left
    there = {"GIANTNETES_HYPERVISOR_ADDRESS": SECOND, "TEMPORAL_ADDRESS": _temporal(stack)}
    with hypervisor_worker(stack, "second", spread.second.prefix, **there):
        while await _owes(spread.hypervisors[1]):
            await asyncio.sleep(1)
        assert spread.second.domains() == []
        links = spread.second.run("ip", "-brief", "link")
        assert "g8s" not in links
        say(await asyncio.to_thread(run, G8S, "hypervisors"))
        await asyncio.to_thread(run, G8S, "leftovers")


async def _owes(hypervisor: WorkflowHandle[Any, str]) -> bool:
    found: HypervisorStatus = await hypervisor.query("status", result_type=HypervisorStatus)
    return found.phase is not HypervisorPhase.READY or bool(found.record and found.record.unswept)


def _temporal(stack: Stack) -> str:
    return f"{FIRST}:{stack.temporal_address.rpartition(':')[2]}"


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
