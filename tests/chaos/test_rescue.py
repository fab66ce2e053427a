"""Certificates renewed straight from Vault while Temporal and the worker are stopped; a rotation after that."""

import asyncio
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from cryptography import x509
from temporalio.client import Client

from activities.kubernetes.serving import ports
from activities.vault import AppRoles, VaultSettings, inventory
from api.status import Phase
from contracts.workflows import Accepted
from deploy.stack import Stack, up
from tests.chaos import living, outside
from tests.chaos.conftest import SERVICES
from tests.e2e.people import G8S, PROJECT
from tests.support.clusters import Handle, delete, start, status, until_created
from tests.support.leaks import LeakSearch
from tests.support.stack import say

NAME = "outage"
STOP_SECONDS = 60.0
STOPPED = {"temporal", "worker"}

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Outage:
    """A cluster of one control plane machine and one node, whose Temporal and worker are stopped."""

    stack: Stack
    handle: Handle
    cluster_id: str

    def pairs(self) -> dict[str, int]:
        """Return the serial numbers of what components use, after seeing that each has its own key beside it."""
        found = living.pairs(self.stack, self.cluster_id)
        return {name: certificate.serial_number for name, certificate in found.items()}

    def shown(self) -> dict[str, set[int]]:
        """Return the serial numbers that endpoints show, named as those that components use."""
        vault = VaultSettings(self.stack.vault_address, AppRoles(self.stack.approle_file("planner").parent))
        cluster = inventory(vault).cluster("default", NAME)
        assert cluster
        found = {}
        for name in self.pairs():
            machine = self.stack.state / "machines" / self.cluster_id / name.split("/")[0]
            address = json.loads((machine / "machine.json").read_text())["address"]
            if wanted := ports(name.split("/")[1], cluster):
                found[name] = {shown_serial(address, port) for port in wanted}
        return found

    async def rescue(self) -> tuple[int, str]:
        """Run ``g8s rescue`` as people do, with no setting of Vault's or Temporal's; returns status and words."""
        process = await self.started()
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def started(self) -> asyncio.subprocess.Process:
        """Start ``g8s rescue``."""
        return await asyncio.create_subprocess_exec(
            *(G8S, "rescue", NAME),
            cwd=PROJECT,
            env={name: value for name, value in os.environ.items() if name != "TEMPORAL_ADDRESS"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


def shown_serial(address: str, port: int) -> int:
    """Return the serial number of the certificate that an endpoint shows to anybody."""
    pem = ssl.get_server_certificate((address, port), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.fixture(scope="module")
async def outage(
    stack: Stack, client: Client, leak_search: LeakSearch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Outage]:
    """The outage, after the creation of the cluster; it is over in the end."""
    handle = await start(client, NAME, provider="local", nodePools=[{"name": "workers", "replicas": 1}])
    created = await until_created(client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    cluster_id = created.cluster_id or ""
    folder = tmp_path_factory.mktemp("kube")
    leak_search.collect(cluster_id, living.kubeconfig(stack, "default", NAME, folder / "config"))
    outside.supervisor(stack).stop_groups(STOPPED, timeout_s=STOP_SECONDS)
    yield Outage(stack, handle, cluster_id)
    await asyncio.to_thread(up, say, SERVICES)
    assert "nothing is left" in await delete(handle)


async def test_all_are_renewed_from_vault_alone_and_nothing_restarts(outage: Outage) -> None:
    before, running = outage.pairs(), living.pids(outage.stack, outage.cluster_id)
    code, told = await outage.rescue()
    assert code == 0, told
    assert "Temporal does not answer" in told
    assert "2 of 2 machines were renewed" in told
    after = outage.pairs()
    assert not {name for name in before if before[name] == after[name]}
    shown = outage.shown()
    assert len(shown) == 6
    assert shown == {name: {after[name]} for name in shown}
    assert living.pids(outage.stack, outage.cluster_id) == running
    logged = [json.loads(line) for line in (outage.stack.logs / "rescue.log").read_text().splitlines()]
    steps = [line for line in logged if line["event"] == "step done"]
    assert {line["operation"] for line in steps} == {"rescue"}
    assert [line["activity"] for line in steps if line["step"] == "workers-1"] == [
        *("renew", "sign", "install", "verify_serving")
    ]


async def test_one_that_is_stopped_leaves_whole_pairs_and_the_next_one_ends_it(outage: Outage) -> None:
    process = await outage.started()
    assert process.stdout
    while b"certificates are being renewed" not in await process.stdout.readline():
        assert process.returncode is None
    process.send_signal(signal.SIGINT)
    rest = (await process.stdout.read()).decode()
    assert await process.wait() == 130, rest
    assert "renewed so far: " in rest
    outage.pairs()
    code, told = await outage.rescue()
    assert code == 0, told


async def test_a_machine_that_does_not_answer_is_told_of_and_holds_no_other_back(outage: Outage) -> None:
    before = outage.pairs()
    document = outage.stack.state / "machines" / outage.cluster_id / "workers-1" / "machine.json"
    away = document.rename(document.with_suffix(".away"))
    code, told = await outage.rescue()
    away.rename(document)
    assert code == 1, told
    assert "workers-1: NOT renewed: MachineNotReady" in told
    assert "not renewed: workers-1" in told
    after = outage.pairs()
    same = {name for name in before if before[name] == after[name]}
    assert same == {name for name in before if name.startswith("workers-1/")}


async def test_once_temporal_is_back_a_plain_rotation_goes_through(outage: Outage) -> None:
    await asyncio.to_thread(up, say, SERVICES)
    before = outage.pairs()
    known = len((await status(outage.handle)).recent_operations)
    await outage.handle.execute_update("rotate_certificates", {"reason": "test"}, result_type=Accepted)
    async with asyncio.timeout(120):
        while len((found := await status(outage.handle)).recent_operations) == known:
            await asyncio.sleep(0.1)
    ended = found.recent_operations[-1]
    assert (ended.type, ended.outcome, found.unrenewed) == ("RotateCertificates", "Succeeded", {})
    after = outage.pairs()
    assert not {name for name in before if before[name] == after[name]}
