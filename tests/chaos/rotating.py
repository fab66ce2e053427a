"""A cluster whose certificates are renewed, in a lane of its own: what its machines hold, and how it goes on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from temporalio.service import RPCError

from api.status import ClusterStatus, OperationRecord, Phase
from contracts.workflows import Accepted
from deploy.stack import Stack
from tests.chaos import living, outside
from tests.chaos.lanes import Lane
from tests.support.clusters import Handle, delete, start, status, until_created

ROTATION = "RotateCertificates"


@dataclass(frozen=True)
class Rotated:
    """A cluster of one control plane machine and some nodes."""

    lane: Lane
    handle: Handle
    stack: Stack
    cluster_id: str

    @property
    def machines(self) -> Path:
        """The folder of its machines."""
        return self.stack.state / "machines" / self.cluster_id

    def processes(self) -> dict[str, list[int]]:
        """Return the process ids of the machines' programs."""
        return living.pids(self.stack, self.cluster_id)

    def pairs(self) -> dict[str, x509.Certificate]:
        """Return the certificates that components use, after seeing that each has its own key beside it."""
        return living.pairs(self.stack, self.cluster_id)

    @contextlib.asynccontextmanager
    async def watching_pairs(self) -> AsyncIterator[None]:
        """See while the block runs, again and again, that each key is beside its certificate."""

        async def watch() -> None:
            while True:
                await asyncio.to_thread(self.pairs)
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        try:
            yield
            assert not watching.done(), watching.exception()
        finally:
            watching.cancel()

    async def rotate(self) -> datetime:
        """Ask for new certificates; returns a time before that."""
        before = datetime.now(UTC)
        await self.handle.execute_update("rotate_certificates", {"reason": "test"}, result_type=Accepted)
        return before

    async def ended(self, operation: str, since: datetime) -> OperationRecord:
        """Wait for the end of the first operation of a kind that began later than ``since``."""
        while True:
            for record in (await status(self.handle)).recent_operations:
                if record.type == operation and record.started_at >= since:
                    return record
            await asyncio.sleep(0.1)

    async def renewed(self, since: datetime) -> None:
        """Wait for the end of the first rotation after ``since``, which has renewed all."""
        assert (await self.ended(ROTATION, since)).outcome == "Succeeded"
        assert (await status(self.handle)).unrenewed == {}

    async def repaired(self, machine: str) -> None:
        """Have a machine that is off repaired, now."""
        before = datetime.now(UTC)
        await self.handle.execute_update("retry", {"reason": "test"}, result_type=Accepted)
        assert (await self.ended("RepairMachine", before)).outcome == "Succeeded", machine

    def switch_off(self, machine: str) -> None:
        """Take a machine's power, and see it off."""
        outside.local(self.stack).fence_machine(self.cluster_id, machine)

    async def until(self, holds: Callable[[ClusterStatus], bool]) -> ClusterStatus:
        """Wait until something holds of its status; Temporal and the worker may be away."""
        while True:
            with contextlib.suppress(RPCError):
                if holds(found := await status(self.handle)):
                    return found
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def rotated_cluster(one: Lane, stack: Stack, name: str, nodes: int) -> AsyncIterator[Rotated]:
    """Give a cluster with ``nodes`` nodes, made in a lane, and delete it afterwards."""
    handle = await start(one.client, name, provider="local", nodePools=[{"name": "workers", "replicas": nodes}])
    created = await until_created(one.client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    yield Rotated(one, handle, stack, created.cluster_id or "")
    assert "nothing is left" in await delete(handle)


def new(before: dict[str, x509.Certificate], after: dict[str, x509.Certificate]) -> set[str]:
    """Return the machines all of whose certificates are others than before."""
    same = {name.partition("/")[0] for name, old in before.items() if after.get(name) == old}
    return {name.partition("/")[0] for name in after} - same
