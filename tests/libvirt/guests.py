"""A living cluster of virtual machines."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import Client, WorkflowHandle

from activities.libvirt.places import Places
from contracts import queues
from contracts.hypervisors import (
    HYPERVISOR,
    HypervisorInput,
    HypervisorPhase,
    HypervisorStatus,
    hypervisor_id,
)
from deploy.stack import Stack
from tests.e2e.people import kubectl, pods_ready
from tests.support.clusters import Handle

if TYPE_CHECKING:  # the package libvirt is an extra
    from activities.libvirt.hypervisor import Hypervisor

in_a_room = [
    pytest.mark.timeout(2400),
    pytest.mark.skipif("G8S_ROOM" not in os.environ, reason="virtual machines are made by `just test-libvirt`"),
]
MANAGEMENT_NETWORK = "192.0.2.0/24"
HYPERVISOR_NAME = "first"
POD_SECONDS = 600
"""Emulated machines take long to start the programs of the add-ons."""


@dataclass
class Guest:
    """A cluster with an administrator's kubeconfig, and the hypervisor that it is on."""

    handle: Handle
    cluster_id: str
    kubeconfig: Path
    hypervisor: "Hypervisor"
    places: Places

    def kubectl(self, *arguments: str, ok: bool | None = True) -> str:
        """Run kubectl; what it prints. It may take a minute."""
        return kubectl(self.kubeconfig, *arguments, ok=ok)

    def wait_for_pods(self, *which: str) -> None:
        """Wait until pods are Ready."""
        self.until(lambda: pods_ready(self.kubeconfig, *which), f"pods {which} are Ready")

    def until(self, holds: Callable[[], bool], what: str, seconds: float = POD_SECONDS) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
            time.sleep(2)


def hypervisor_folder(stack: Stack, name: str = HYPERVISOR_NAME) -> Path:
    """Return the folder of a hypervisor of the tests."""
    return stack.state / "hypervisors" / name


def links(kind: str) -> list[str]:
    """Return our network devices of a kind, ``bridge`` or ``vxlan``, in the room."""
    told = subprocess.check_output(["ip", "-json", "link", "show", "type", kind], text=True)
    names = (link.get("ifname", "") for link in json.loads(told or "[]"))
    return [name for name in names if name.startswith("g8s")]


def firewall() -> str:
    """Return all rules of the room's kernel, also those that libvirt made with iptables."""
    return subprocess.check_output(["nft", "list", "ruleset"], text=True, stderr=subprocess.DEVNULL)


async def enrol(client: Client, name: str = HYPERVISOR_NAME) -> WorkflowHandle[Any, str]:
    """Enrol a hypervisor whose worker runs, and wait until it may take machines."""
    reference = HypervisorInput(site="default", name=name)
    handle: WorkflowHandle[Any, str] = await client.start_workflow(
        HYPERVISOR, reference, id=hypervisor_id("default", name), task_queue=queues.CLUSTERS, result_type=str
    )
    while (await handle.query("status", result_type=HypervisorStatus)).phase is not HypervisorPhase.READY:
        await asyncio.sleep(0.5)
    return handle


def hypervisor_settings(stack: Stack, name: str = HYPERVISOR_NAME, **settings: str) -> dict[str, str]:
    """Return the environment of a hypervisor's worker."""
    own = {
        "GIANTNETES_HYPERVISOR_NAME": name,
        "GIANTNETES_VIRTUALIZATION": "qemu",
        "GIANTNETES_MANAGEMENT_NETWORKS": MANAGEMENT_NETWORK,
        "GIANTNETES_HYPERVISOR": str(hypervisor_folder(stack, name)),
    }
    return {**os.environ, **stack.temporal_settings, **own, **settings}


@contextmanager
def hypervisor_worker(
    stack: Stack, name: str = HYPERVISOR_NAME, prefix: Sequence[str] = (), **settings: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the small worker of a hypervisor: of this one, or where a command that begins with ``prefix`` runs."""
    environment = hypervisor_settings(stack, name, **settings)
    with (stack.state / f"{name}.log").open("ab") as output:
        command = [*prefix, sys.executable, "-m", "workers.hypervisor"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
