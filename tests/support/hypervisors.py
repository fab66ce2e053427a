"""Hypervisors in memory, each with a queue of its own, and records of them as they are kept in Vault.

What runs on them is a set of names: order, silence and debts are under test, machines are elsewhere.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.vault.hypervisors import Hypervisors
from activities.vault.placements import PlacementTable
from contracts import activities as names
from contracts import queues
from contracts.hypervisors import (
    HYPERVISOR,
    CheckRequest,
    HypervisorFacts,
    HypervisorInput,
    HypervisorPhase,
    HypervisorStatus,
    NetworkRequest,
    Resources,
    hypervisor_id,
)
from contracts.machines import (
    ClusterReference,
    InstallRequest,
    Leftover,
    Leftovers,
    MachineObservation,
    MachineObservations,
    MachineRequest,
    MachineRequests,
    MachinesReference,
    MachineState,
)
from tests.activities.vault.records import MemoryRecords
from tests.support.fakes import Script, fake_activities, fake_queues
from tests.support.temporal import SANDBOX, end_all
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import Queue, make_workers

SITE = "default"
CAPACITY = Resources(cpus=16, memory_mib=65536, disk_mib=1_000_000)


class FakeHypervisor:
    """One hypervisor. ``silent`` ones have a worker that does not poll."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.facts = HypervisorFacts(host_id=name, kind="kvm", address=f"192.0.2.{number}", capacity=CAPACITY)
        self.machines: set[tuple[str, str]] = set()
        self.peers: dict[str, set[str]] = {}

    def queue(self) -> Queue:
        """Return its queue with what its worker does."""
        done: list[tuple[str, type, Callable[[Any], Any]]] = [
            (names.CHECK_HYPERVISOR, CheckRequest, self._checked),
            (names.ENSURE_NETWORK, NetworkRequest, self._join),
            (names.BOOT_MACHINE, MachineRequest, self._boot),
            (names.INSTALL_MACHINE, InstallRequest, lambda it: self._seen(it.cluster.cluster_id, it.machine.name)),
            (names.OBSERVE_MACHINES, MachinesReference, self._observe),
            (names.FENCE_MACHINE, MachinesReference, lambda _: None),
            (names.DELETE_MACHINE, MachinesReference, self._delete),
            (names.DELETE_MACHINES, ClusterReference, self._delete_all),
            (names.LIST_MACHINE_LEFTOVERS, ClusterReference, self._left),
        ]
        return Queue(queues.hypervisor(SITE, self.name), [_activity(*each) for each in done])

    def _checked(self, request: CheckRequest) -> HypervisorFacts:
        for network in request.networks:
            self.peers[network.cluster_id] = {*network.peers}
        return self.facts.model_copy(update={"clusters": sorted({cluster_id for cluster_id, _ in self.machines})})

    def _join(self, request: NetworkRequest) -> None:
        hosts = request.cluster.placements.hosts
        self.peers[request.cluster.cluster_id] = {
            host.address for name, host in hosts.items() if name != self.name and not host.dead
        }

    def _boot(self, request: MachineRequest) -> MachineRequests:
        assert request.cluster.cluster_id in self.peers, "a machine needs its network"
        self.machines.add((request.cluster.cluster_id, request.machine.name))
        return MachineRequests(instance_id="i")

    def _observe(self, request: MachinesReference) -> MachineObservations:
        return MachineObservations(items=[self._seen(request.cluster_id, name) for name in request.names])

    def _seen(self, cluster_id: str, name: str) -> MachineObservation:
        there = (cluster_id, name) in self.machines
        return MachineObservation(name=name, state=MachineState.UP if there else MachineState.ABSENT)

    def _delete(self, request: MachinesReference) -> None:
        self.machines -= {(request.cluster_id, name) for name in request.names}

    def _delete_all(self, request: ClusterReference) -> None:
        self.machines = {machine for machine in self.machines if machine[0] != request.cluster_id}

    def _left(self, request: ClusterReference) -> Leftovers:
        found = [machine for machine in sorted(self.machines) if request.cluster_id in ("", machine[0])]
        return Leftovers(items=[Leftover(kind="machine", name=name, cluster_id=owner) for owner, name in found])


class Site:
    """Hypervisors of a site, whose workers start and stop."""

    def __init__(self, environment: WorkflowEnvironment, script: Script, hypervisors: list[str]) -> None:
        self.records = MemoryRecords()
        self.hypervisors = {name: FakeHypervisor(name, number + 1) for number, name in enumerate(hypervisors)}
        self._environment = environment
        self._script = script
        self._workers: dict[str, Worker] = {}

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator["Site"]:
        """Serve everything but the hypervisors, which ``wake`` starts one by one."""
        await end_all(self._environment.client)
        known, table = Hypervisors(self.records), PlacementTable(self.records)
        real: list[Callable[..., Any]] = [known.enrolled, known.enrol, known.mark, known.forget, known.swept]
        real += [known.silent, table.place, table.find, table.networks, table.vacate]
        fakes = fake_activities(self._script)
        shared = [queue for queue in fake_queues(self._script) if queue.name != queues.vault(SITE)]
        vault = Queue(queues.vault(SITE), [*fakes, *real])
        guests = Queue(queues.kubernetes(SITE, "libvirt"), fakes)
        async with contextlib.AsyncExitStack() as stack:
            for worker in make_workers(
                self._environment.client, [*shared, vault, guests], [ActivityBoundary()], SANDBOX
            ):
                await stack.enter_async_context(worker)
            yield self
            for name in [*self._workers]:
                await self.silence(name)

    async def wake(self, name: str) -> None:
        """Start a hypervisor's worker."""
        (worker,) = make_workers(
            self._environment.client, [self.hypervisors[name].queue()], [ActivityBoundary()], SANDBOX
        )
        self._workers[name] = worker
        await worker.__aenter__()

    async def enrol(self, name: str) -> WorkflowHandle[Any, str]:
        """Start the workflow of a hypervisor that is awake, and wait until it is enrolled."""
        handle: WorkflowHandle[Any, str] = await self._environment.client.start_workflow(
            HYPERVISOR,
            HypervisorInput(site=SITE, name=name),
            id=hypervisor_id(SITE, name),
            task_queue=queues.CLUSTERS,
            result_type=str,
        )
        while (await handle.query("status", result_type=HypervisorStatus)).phase is not HypervisorPhase.READY:
            await asyncio.sleep(0.05)
        return handle

    async def silence(self, name: str) -> None:
        """Stop a hypervisor's worker; what runs there runs on."""
        await self._workers.pop(name).__aexit__(None, None, None)

    async def pass_time(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Let a little time pass for a workflow."""
        await self._environment.fast_forward(handle, timedelta(seconds=5))

    def where(self) -> dict[str, str]:
        """Return the hypervisor of each machine; a machine on two is an error."""
        found = [(machine, name) for name, one in self.hypervisors.items() for _, machine in one.machines]
        assert len({machine for machine, _ in found}) == len(found), f"a machine is on two hypervisors: {found}"
        return dict(found)


def _activity(name: str, request_type: type, make: Callable[[Any], Any]) -> Callable[..., Any]:
    async def run(request: Any) -> Any:
        return make(request)

    run.__annotations__["request"] = request_type
    return activity.defn(name=name)(run)
