"""kill -9 of a hypervisor's worker at every step of a create, a replacement and a deletion of virtual machines.

Run by itself: it is the only worker of its hypervisor.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError

from activities.libvirt.places import Places
from api.status import Phase
from contracts.workflows import Accepted, workflow_id
from deploy.stack import Stack
from tests.e2e.people import G8S, run
from tests.libvirt.guests import (
    enrol,
    firewall,
    hypervisor_folder,
    hypervisor_settings,
    hypervisor_worker,
    in_a_room,
    links,
)
from tests.libvirt.machines import SPEC
from tests.support.clusters import delete, start, status, until_created
from tests.support.stack import say

pytestmark = in_a_room
NAME = "killed"
EXPECTED = {
    "CheckHypervisor": {"before", "after"},
    "EnsureNetwork": {"before", "nft", "after"},  # the next one makes the rest of it at its start
    "BootMachine": {
        *("before", "virStoragePool.createXML", "virConnect.defineXML", "virDomain.create", "after"),
        *("guest-exec", "guest-exec-status", "guest-get-time"),
    },
    "InstallMachine": {"before", "guest-get-time", "guest-exec", "guest-exec-status", "after"},
    "FenceMachine": {"before", "after"},
    "DeleteMachine": {"before", "virDomain.shutdownFlags", "virDomain.undefine", "virStorageVol.delete", "after"},
    "DeleteMachines": {
        *("before", "virDomain.destroy", "virDomain.undefine", "virStorageVol.delete"),
        *("virNetwork.destroy", "virNetwork.undefine", "nft", "after"),
    },
    "ListMachineLeftovers": {"before", "after"},
}
"""The moments at which the worker has to have died."""


@contextlib.asynccontextmanager
async def dying_worker(stack: Stack, client: Client, journal: Path) -> AsyncIterator[None]:
    """Start the worker again whenever it has killed itself, and have what it left tried again soon."""

    async def keep_running() -> None:
        while True:
            with (stack.state / "first.log").open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.libvirt.crashing_worker", str(journal)),
                    env=hypervisor_settings(stack),
                    stdout=log,
                    stderr=log,
                )
            try:
                ended = await process.wait()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
            assert ended == -signal.SIGKILL, (stack.state / "first.log").read_text()[-3000:]

    async def hurry() -> None:
        while True:
            for operation in ("create", "replace", "repair", "delete"):
                with contextlib.suppress(RPCError):  # it may not run
                    await client.get_workflow_handle(f"{workflow_id('default', NAME)}/{operation}").signal("retry")
            await asyncio.sleep(3)

    async with asyncio.TaskGroup() as tasks:  # which lets the test fail as soon as the worker ends otherwise
        running = [tasks.create_task(keep_running()), tasks.create_task(hurry())]
        yield
        for task in running:
            task.cancel()


def deaths(journal: Path) -> dict[str, set[str]]:
    """Return at which moments the worker has died, by activity."""
    found: dict[str, set[str]] = {}
    for line in journal.read_text().splitlines():
        step, moment = line.rsplit(" ", 1)
        found.setdefault(step.partition("/")[0], set()).add(moment)
    return found


async def test_a_worker_that_dies_at_every_step_doubles_and_leaks_nothing(
    stack: Stack, client: Client, tmp_path: Path
) -> None:
    from activities.libvirt.hypervisor import Hypervisor  # noqa: PLC0415 - the package libvirt is an extra
    from tests.libvirt.rooms import URI  # noqa: PLC0415

    journal = tmp_path / "journal"
    places = Places(hypervisor_folder(stack))
    async with dying_worker(stack, client, journal):
        await enrol(client)
        began = time.monotonic()
        handle = await start(client, NAME, **{**SPEC, "ingress": None})
        created = await until_created(client, handle)
        assert created.phase == Phase.RUNNING, created.waiting_on
        say(f"created in {time.monotonic() - began:.1f} s")
        hypervisor, cluster_id = Hypervisor(URI, places.volumes), created.cluster_id or ""

        def held() -> tuple[list[tuple[str, str]], list[str], Counter[str]]:
            kinds = Counter(name.rpartition(".")[2] for name in hypervisor.volume_names())
            return sorted(hypervisor.domains()), hypervisor.networks(), kinds

        whole = (
            [(cluster_id, "control-plane-1"), (cluster_id, "workers-1")],
            [cluster_id],
            Counter(etcd=1, state=2, scratch=2),
        )
        assert held() == whole
        began, before = time.monotonic(), hypervisor.domain(places.domain(cluster_id, "workers-1"))
        assert before is not None
        await handle.execute_update("replace_machine", {"machine": "workers-1"}, result_type=Accepted)
        while not (found := await status(handle)).recent_operations[1:]:
            await asyncio.sleep(1)
        assert found.phase == Phase.RUNNING, found.waiting_on
        say(f"replaced in {time.monotonic() - began:.1f} s")
        assert hypervisor.domain_with(before.UUIDString()) is None
        assert held() == whole
        began, lost = time.monotonic(), hypervisor.domain(places.domain(cluster_id, "workers-1"))
        assert lost is not None
        lost.destroy()
        await handle.execute_update("retry", {"reason": "lost"}, result_type=Accepted)
        while not (found := await status(handle)).recent_operations[2:]:
            await asyncio.sleep(1)
        assert found.recent_operations[-1].type == "RepairMachine"
        say(f"repaired in {time.monotonic() - began:.1f} s")
        assert held() == whole
        assert places.bridge(cluster_id) in firewall()
        began = time.monotonic()
        assert "nothing is left" in await delete(handle)
        say(f"deleted in {time.monotonic() - began:.1f} s")
    assert held() == ([], [], Counter())
    assert places.bridge(cluster_id) not in firewall()
    assert links("bridge") == links("vxlan") == []
    assert list(places.machines.iterdir()) == list(places.networks.glob("*.json")) == []
    died = deaths(journal)
    say(journal.read_text())
    assert {activity: moments - died.get(activity, set()) for activity, moments in EXPECTED.items()} == {
        activity: set() for activity in EXPECTED
    }
    with hypervisor_worker(stack):  # one that lives: g8s tries once
        await asyncio.to_thread(run, G8S, "leftovers")
