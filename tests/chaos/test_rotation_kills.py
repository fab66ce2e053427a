"""kill -9 of the worker, twice, around every activity of a rotation of real machines."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from api.status import Phase
from contracts import activities as names
from contracts.workflows import Accepted
from deploy.stack import Stack
from tests.chaos import living, table
from tests.chaos.crashing_worker import Kill
from tests.chaos.lanes import Lane, lane
from tests.support.clusters import Handle, delete, start, status, until_created

pytestmark = pytest.mark.timeout(300)

ACTIVITIES = (names.RENEW_KEYS, names.SIGN_CERTIFICATES, names.INSTALL_MACHINE, names.VERIFY_SERVING)


@dataclass(frozen=True)
class Rotated:
    """A cluster of one control plane machine and one node, with a worker of its own that can be killed."""

    lane: Lane
    handle: Handle
    stack: Stack
    cluster_id: str

    def processes(self) -> dict[str, list[int]]:
        """Return the process ids of the machines' programs."""
        return living.pids(self.stack, self.cluster_id)

    def pairs(self) -> dict[str, bytes]:
        """Return the certificates that components use, after seeing that each has its own key beside it."""
        machines: Path = self.stack.state / "machines" / self.cluster_id
        found = {}
        for key in machines.glob("*/state/pki/current/*.key"):
            certificate = x509.load_pem_x509_certificate(key.with_suffix(".crt").read_bytes())
            private = load_pem_private_key(key.read_bytes(), password=None)
            assert private.public_key() == certificate.public_key(), key
            found[f"{key.parents[3].name}/{key.stem}"] = certificate.serial_number.to_bytes(20)
        return found


@pytest.fixture(scope="module")
async def rotated(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rotated]:
    """The cluster, made."""
    async with lane(stack, "rotation", tmp_path_factory.mktemp("lane")) as one:
        pools = [{"name": "workers", "replicas": 1}]
        handle = await start(one.client, "rotated", provider="local", nodePools=pools)
        created = await until_created(one.client, handle)
        assert created.phase == Phase.RUNNING, created.waiting_on
        yield Rotated(one, handle, stack, created.cluster_id or "")
        assert "nothing is left" in await delete(handle)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("activity", ACTIVITIES)
async def test_a_worker_that_dies_twice_leaves_whole_pairs_and_renews_all(
    rotated: Rotated, activity: str, moment: str
) -> None:
    before, running = rotated.pairs(), rotated.processes()
    known = (await status(rotated.handle)).operation
    for death in (1, 2):
        rotated.lane.arm(Kill(activity=activity, moment=moment))
        if death == 1:
            await rotated.handle.execute_update("rotate_certificates", {"reason": "test"}, result_type=Accepted)
        died = await rotated.lane.death()
        rotated.pairs()
    while True:
        found = await status(rotated.handle)
        operation = found.operation
        if operation and operation.outcome and known and operation.started_at > known.started_at:
            break
        await asyncio.sleep(0.2)
    table.ROWS.append(table.Row("local", "rotate", activity, moment, asyncio.get_running_loop().time() - died))
    assert (operation.type, operation.outcome, found.unrenewed) == ("RotateCertificates", "Succeeded", {})
    after = rotated.pairs()
    assert not {name for name in before if before[name] == after[name]}
    assert rotated.processes() == running
