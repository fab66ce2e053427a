"""Certificates of a real cluster, renewed while it is used."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.client import Client

from api.status import ClusterStatus, Phase
from deploy.stack import Stack
from planning.releases import load_releases
from tests.chaos import living
from tests.e2e.people import administrator, ready_nodes, update_example
from tests.support.clusters import Handle, delete, start, status, until_created
from tests.support.leaks import LeakSearch

NAME = "rotated"

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Rotated:
    """A cluster of one control plane machine and two nodes."""

    stack: Stack
    handle: Handle
    cluster_id: str
    kubeconfig: Path

    async def rotate(self) -> ClusterStatus:
        """Ask for new certificates as the cheat sheet has it, and wait until the operation has ended."""
        before = len((await status(self.handle)).recent_operations)
        await asyncio.to_thread(update_example, self.stack, self.handle.id, "rotate_certificates")
        while len((found := await status(self.handle)).recent_operations) == before:
            await asyncio.sleep(0.1)
        return found

    def held(self) -> dict[str, str]:
        """Return the files that components use, by machine and name."""
        machines = self.stack.state / "machines" / self.cluster_id
        return {
            f"{file.parents[3].name}/{file.name}": file.read_text()
            for file in machines.glob("*/state/pki/current/*")
            if file.suffix in {".crt", ".key"}
        }

    def processes(self) -> dict[str, list[int]]:
        """Return the process ids of the machines' programs."""
        return living.pids(self.stack, self.cluster_id)


@pytest.fixture(scope="module", params=sorted(load_releases()))
async def rotated(
    request: pytest.FixtureRequest,
    stack: Stack,
    client: Client,
    leak_search: LeakSearch,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Rotated]:
    """The cluster, made of each release."""
    handle = await start(client, NAME, provider="local", release=request.param)
    created = await until_created(client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    await asyncio.to_thread(administrator, NAME, kubeconfig)
    leak_search.collect(created.cluster_id or "", kubeconfig)
    yield Rotated(stack, handle, created.cluster_id or "", kubeconfig)
    assert "nothing is left" in await delete(handle)


async def test_every_key_and_certificate_is_new_and_nothing_restarts(rotated: Rotated) -> None:
    before, running = rotated.held(), rotated.processes()
    found = await rotated.rotate()
    ended = found.recent_operations[-1]
    assert (ended.type, ended.outcome, found.unrenewed) == ("RotateCertificates", "Succeeded", {})
    after = rotated.held()
    same = {name for name in before if before[name] == after[name]}
    assert same == {name for name in before if name.endswith("-ca.crt")}
    assert rotated.processes() == running
    assert set(ready_nodes(rotated.kubeconfig)) == {"workers-1", "workers-2"}
