"""One leader at a time, also when it is killed, gives up, fails, or the API is away."""

import asyncio
from pathlib import Path

import pytest

from deploy.stack import Stack
from tests.workers.bridge.conftest import Line, kube_client
from workers.bridge.kit import leader
from workers.bridge.kit.kube import Kube
from workers.bridge.kit.leader import Lease, LeaseLostError, lead


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter times than in life."""
    monkeypatch.setattr(leader, "LEASE_S", 8)
    monkeypatch.setattr(leader, "RENEW_S", 2)
    monkeypatch.setattr(leader, "RETRY_S", 1)


class Candidate:
    """One who wants to lead."""

    def __init__(self, name: str, kubeconfig: Path, url: str = "") -> None:
        self.leading = asyncio.Event()
        self.stopped = asyncio.Event()
        self.fails = asyncio.Event()
        self.task = asyncio.create_task(self._run(name, kubeconfig, url))

    async def _run(self, name: str, kubeconfig: Path, url: str) -> None:
        async with await kube_client(kubeconfig, url) as client:
            await lead(Lease(Kube(client), "default", "bridge", name), self._work)

    async def _work(self) -> None:
        self.leading.set()
        try:
            await self.fails.wait()
            raise RuntimeError("the work has failed")
        finally:
            self.stopped.set()


async def test_one_leads_and_hands_over_when_it_ends(host: Stack) -> None:
    first = Candidate("first", host.host_kubeconfig)
    await asyncio.wait_for(first.leading.wait(), 30)
    second = Candidate("second", host.host_kubeconfig)
    await asyncio.sleep(1.5)
    assert not second.leading.is_set()
    first.task.cancel()
    await asyncio.wait_for(second.leading.wait(), 6)
    assert first.stopped.is_set()
    second.task.cancel()
    await asyncio.wait([first.task, second.task])


async def test_work_that_fails_is_not_led_on(host: Stack) -> None:
    only = Candidate("only", host.host_kubeconfig)
    await asyncio.wait_for(only.leading.wait(), 30)
    only.fails.set()
    with pytest.raises(RuntimeError, match="the work has failed"):
        await asyncio.wait_for(only.task, 30)


async def test_a_leader_that_can_not_renew_stops_before_another_one_starts(host: Stack, line: Line) -> None:
    cut = Candidate("cut", host.host_kubeconfig, f"https://127.0.0.1:{line.port}")
    await asyncio.wait_for(cut.leading.wait(), 30)
    await line.cut()
    other = Candidate("other", host.host_kubeconfig)
    with pytest.raises(LeaseLostError):
        await asyncio.wait_for(cut.task, 30)
    assert cut.stopped.is_set()
    assert not other.leading.is_set()
    await asyncio.wait_for(other.leading.wait(), 30)
    other.task.cancel()
    await asyncio.wait([other.task])


async def test_an_api_that_is_away_at_the_start_is_waited_for(host: Stack, line: Line) -> None:
    await line.cut()
    patient = Candidate("patient", host.host_kubeconfig, f"https://127.0.0.1:{line.port}")
    await asyncio.sleep(1.5)
    assert not patient.task.done()
    await line.open()
    await asyncio.wait_for(patient.leading.wait(), 30)
    patient.task.cancel()
    await asyncio.wait([patient.task])
