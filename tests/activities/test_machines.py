"""The activities over a provider, here of simulated machines."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from temporalio.exceptions import CancelledError
from temporalio.testing import ActivityEnvironment

from activities.machines import MachineActivities, Patience, machine_activities
from activities.simulated.provider import SimulatedProvider
from activities.simulated.world import World
from api.errors import ErrorCode
from contracts import activities as names
from contracts.errors import StepError
from contracts.machines import (
    SEALED,
    ClusterReference,
    CommandResult,
    CredentialsRequest,
    EndpointRequest,
    InstallRequest,
    MachineFacts,
    MachineObservation,
    MachinePlan,
    MachineRequest,
    MachinesReference,
    MachineState,
    RenewRequest,
)
from tests.contract.clusters import TestCluster
from tests.contract.rooms import SimulatedRoom, new_cluster


@pytest.fixture
def room(tmp_path: Path) -> SimulatedRoom:
    return SimulatedRoom(tmp_path)


@pytest.fixture
def cluster(room: SimulatedRoom) -> Iterator[TestCluster]:
    with new_cluster(room, control_plane={"replicas": 3}) as made:
        yield made


def booting(cluster: TestCluster, machine: MachinePlan) -> MachineRequest:
    return MachineRequest(cluster=cluster.context, machine=machine, slots=cluster.slots)


def test_the_queue_gets_every_machine_activity(room: SimulatedRoom) -> None:
    found = {getattr(run, "__temporal_activity_definition").name for run in machine_activities(room.provider())}
    assert found == {
        names.ENSURE_ENDPOINT,
        names.BOOT_MACHINE,
        names.INSTALL_MACHINE,
        names.RENEW_KEYS,
        names.FIND_CREDENTIALS,
        names.OBSERVE_MACHINES,
        names.FENCE_MACHINE,
        names.DELETE_MACHINE,
        names.DELETE_MACHINES,
        names.LIST_MACHINE_LEFTOVERS,
    }


def test_a_machine_from_boot_to_end(room: SimulatedRoom, cluster: TestCluster) -> None:
    room.faults.boot_seconds(0.1)
    activities, node = MachineActivities(room.provider()), cluster.nodes[0]
    environment = ActivityEnvironment()
    environment.run(activities.ensure_endpoint, EndpointRequest(cluster=cluster.context, slots=cluster.slots))
    booted = environment.run(activities.boot, booting(cluster, node))
    files = cluster.vault.answer(node, booted)
    request = InstallRequest(cluster=cluster.context, machine=node, files=files)
    assert environment.run(activities.install, request).state is MachineState.UP
    again = environment.run(activities.boot, booting(cluster, node))
    assert (again.instance_id, again.requests) == (booted.instance_id, {})
    reference = ClusterReference(cluster_id=cluster.id)
    left = environment.run(activities.list_left, reference)
    assert {item.kind for item in left.items} == {"endpoint", "machine"}
    environment.run(activities.delete_all, reference)
    assert environment.run(activities.list_left, reference).items == []


def test_machines_are_looked_at_fenced_and_deleted_by_name(room: SimulatedRoom, cluster: TestCluster) -> None:
    activities, environment = MachineActivities(room.provider()), ActivityEnvironment()
    slot, node = cluster.slots[0], cluster.nodes[0]
    for machine in (slot, node):
        activities.boot(booting(cluster, machine))

    def states() -> list[MachineState]:
        request = MachinesReference(cluster_id=cluster.id, names=[slot.name, node.name, "nobody-1"])
        return [seen.state for seen in environment.run(activities.observe, request).items]

    assert states() == [MachineState.UP, MachineState.UP, MachineState.ABSENT]
    environment.run(activities.fence, MachinesReference(cluster_id=cluster.id, names=[node.name]))
    assert states() == [MachineState.UP, MachineState.STOPPED, MachineState.ABSENT]
    environment.run(activities.delete, MachinesReference(cluster_id=cluster.id, names=[slot.name, node.name]))
    assert states() == [MachineState.ABSENT] * 3
    left = room.provider().list_left(cluster.id)
    assert [(item.kind, item.name) for item in left] == [("volume", slot.name)]


def test_what_is_removed_gracefully_is_stopped_so_before(room: SimulatedRoom, cluster: TestCluster) -> None:
    stopped: list[tuple[str, bool]] = []

    class Watched(SimulatedProvider):
        def fence_machine(
            self, cluster_id: str, name: str, instance_id: str | None = None, *, graceful: bool = False
        ) -> None:
            stopped.append((name, graceful))
            super().fence_machine(cluster_id, name, instance_id, graceful=graceful)

    activities, node = MachineActivities(Watched(room.path)), cluster.nodes[0]
    for graceful in (True, False):
        activities.boot(booting(cluster, node))
        activities.delete(MachinesReference(cluster_id=cluster.id, names=[node.name], graceful=graceful))
    assert stopped == [(node.name, True)]


class Undead(SimulatedProvider):
    """A provider whose machines are still there after their removal."""

    def delete_machine(self, cluster_id: str, name: str, instance_id: str | None = None) -> None:
        """Do nothing, and say that all went well."""


def test_a_removal_is_believed_when_it_is_seen(room: SimulatedRoom, cluster: TestCluster) -> None:
    node = cluster.nodes[0]
    activities = MachineActivities(Undead(room.path))
    activities.boot(booting(cluster, node))
    with pytest.raises(StepError) as raised:
        activities.delete(MachinesReference(cluster_id=cluster.id, names=[node.name]))
    assert raised.value.code is ErrorCode.NOT_GONE


def test_an_install_with_files_that_do_not_fit(room: SimulatedRoom, cluster: TestCluster) -> None:
    activities, node = MachineActivities(room.provider()), cluster.nodes[0]
    activities.boot(booting(cluster, node))
    request = InstallRequest(cluster=cluster.context, machine=node, files={"kubelet.crt": "no certificate"})
    with pytest.raises(StepError) as raised:
        activities.install(request)
    assert raised.value.code is ErrorCode.MACHINE_FAILED
    assert "certificate kubelet is not signed by its CA" in raised.value.message


def test_an_install_that_leaves_something_missing(room: SimulatedRoom, cluster: TestCluster) -> None:
    activities, slot = MachineActivities(room.provider()), cluster.slots[0]
    files = cluster.vault.answer(slot, activities.boot(booting(cluster, slot)))
    envelope = {SEALED: files.pop(SEALED)}
    with pytest.raises(StepError) as raised:
        activities.install(InstallRequest(cluster=cluster.context, machine=slot, files=files))
    assert raised.value.code is ErrorCode.MACHINE_NOT_READY
    assert raised.value.message == "machine control-plane-1 is not complete: services wait for secrets"
    activities.install(InstallRequest(cluster=cluster.context, machine=slot, files=envelope))


def test_a_machine_that_does_not_boot(room: SimulatedRoom, cluster: TestCluster) -> None:
    room.faults.boot_seconds(60)
    with pytest.raises(StepError) as raised:
        MachineActivities(room.provider(), Patience(boot=0.2)).boot(booting(cluster, cluster.nodes[0]))
    assert raised.value.code is ErrorCode.MACHINE_NOT_READY


class Frozen(SimulatedProvider):
    """A provider whose machines say nothing before they have been switched off and on ``cures`` times."""

    cures = 1
    fenced = 0

    def observe_machine(self, cluster_id: str, name: str) -> MachineObservation:
        seen = super().observe_machine(cluster_id, name)
        if self.fenced < self.cures:
            return MachineObservation(name=name, state=MachineState.BOOTING, instance_id=seen.instance_id)
        return seen

    def fence_machine(
        self, cluster_id: str, name: str, instance_id: str | None = None, *, graceful: bool = False
    ) -> None:
        super().fence_machine(cluster_id, name, instance_id, graceful=graceful)
        self.fenced += 1


def test_a_machine_that_says_nothing_is_switched_off_and_on(room: SimulatedRoom, cluster: TestCluster) -> None:
    provider, node = Frozen(room.path), cluster.nodes[0]
    booted = MachineActivities(provider, Patience(boot=10, silent=0.1)).boot(booting(cluster, node))
    assert booted.instance_id == provider.observe_machine(cluster.id, node.name).instance_id
    assert provider.fenced == 1


def test_a_machine_that_is_slow_and_tells_so_is_left_alone(room: SimulatedRoom, cluster: TestCluster) -> None:
    class Slow(Frozen):
        def observe_machine(self, cluster_id: str, name: str) -> MachineObservation:
            seen = super().observe_machine(cluster_id, name)
            return seen.model_copy(update={"services": {"kubelet": "stopped"}})

    provider = Slow(room.path)
    with pytest.raises(StepError, match="has not booted"):
        MachineActivities(provider, Patience(boot=0.3, silent=0.1)).boot(booting(cluster, cluster.nodes[0]))
    assert provider.fenced == 0


async def test_waiting_for_a_boot_can_be_cancelled(room: SimulatedRoom, cluster: TestCluster) -> None:
    room.faults.boot_seconds(60)
    environment = ActivityEnvironment()
    activities = MachineActivities(room.provider())

    def boot() -> None:
        environment.run(activities.boot, booting(cluster, cluster.nodes[0]))

    with ThreadPoolExecutor(1) as pool:
        waiting = asyncio.get_running_loop().run_in_executor(pool, boot)
        async with asyncio.timeout(10):
            while not World(room.path).journal(cluster.id):
                await asyncio.sleep(0.01)
        environment.cancel()
        with pytest.raises(CancelledError):
            await asyncio.wait_for(waiting, 2)


class Impostor(SimulatedProvider):
    """Answers with the facts of another machine than the one that runs."""

    def ensure_machine(self, cluster: object, machine: MachinePlan, slots: list[MachinePlan]) -> MachineFacts:
        facts = super().ensure_machine(cluster, machine, slots)  # type: ignore[arg-type]
        return facts.model_copy(update={"instance_id": "another"})


def test_requests_of_another_instance_are_refused(room: SimulatedRoom, cluster: TestCluster) -> None:
    with pytest.raises(StepError) as raised:
        MachineActivities(Impostor(room.path)).boot(booting(cluster, cluster.nodes[0]))
    assert raised.value.code is ErrorCode.MACHINE_FAILED
    assert "another instance" in raised.value.message


def test_new_keys_are_told_and_credentials_asked_for(room: SimulatedRoom, cluster: TestCluster) -> None:
    provider, node = SimulatedProvider(room.path), cluster.nodes[0]
    cluster.certify(provider, node)
    activities = MachineActivities(provider)
    renewed = activities.renew(RenewRequest(cluster=cluster.context, machine=node, names=["kubelet"]))
    assert set(renewed.requests) == {"kubelet"}
    asked = CredentialsRequest(cluster_id=cluster.id, machine=node.name, credentials=["a" * 64])
    assert activities.find_credentials(asked).credentials == ["a" * 64]


def test_a_machine_that_renews_nothing_is_not_ready(room: SimulatedRoom, cluster: TestCluster) -> None:
    provider, node = SimulatedProvider(room.path), cluster.nodes[0]
    cluster.certify(provider, node)
    with pytest.raises(StepError) as raised:
        MachineActivities(provider).renew(RenewRequest(cluster=cluster.context, machine=node, names=["etcd-peer"]))
    assert raised.value.code is ErrorCode.MACHINE_NOT_READY
    assert f"machine {node.name}: giantnetes-machine renew fails:" in raised.value.message


class Failing(SimulatedProvider):
    """A provider that sees a program of the machine fail, with the line ``told`` in its log."""

    told = ""

    def observe_machine(self, cluster_id: str, name: str) -> MachineObservation:
        seen = super().observe_machine(cluster_id, name)
        return seen.model_copy(update={"services": {"etcd": "failed"}, "state": MachineState.FAILED})

    def run_command(self, cluster_id: str, name: str, command: list[str]) -> CommandResult:
        if command == ["giantnetes-machine", "explain", "etcd"]:
            return CommandResult(exit_status=0, stdout=f"etcd: {self.told}\n", stderr="")
        return super().run_command(cluster_id, name, command)


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("write /x/wal: no space left on device", ErrorCode.DISK_FULL),
        ("listen tcp 127.64.7.11:2379: bind: address already in use", ErrorCode.ADDRESS_IN_USE),
        ("panic: boom", ErrorCode.MACHINE_FAILED),
    ],
)
def test_a_failing_service_is_told_by_its_log(
    room: SimulatedRoom, cluster: TestCluster, told: str, code: ErrorCode
) -> None:
    provider, node = Failing(room.path), cluster.nodes[0]
    cluster.certify(SimulatedProvider(room.path), node)
    provider.told = told
    activities = MachineActivities(provider)
    activities.boot(booting(cluster, node))
    with pytest.raises(StepError) as raised:
        activities.install(InstallRequest(cluster=cluster.context, machine=node))
    assert (raised.value.code, raised.value.message) == (code, f"machine workers-1 fails: etcd: {told}")


class Refusing(SimulatedProvider):
    """A provider on whose machines the command ``refused`` fails with the words ``told``."""

    refused, told = "", ""

    def run_command(self, cluster_id: str, name: str, command: list[str]) -> CommandResult:
        if command[1] == self.refused:
            return CommandResult(exit_status=1, stdout="", stderr=f"{self.told}\n")
        return super().run_command(cluster_id, name, command)


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ("install failed: No space left on device: /x/.kubelet.crt.new", ErrorCode.DISK_FULL),
        ("install failed: Disk quota exceeded: /x/.kubelet.crt.new", ErrorCode.DISK_FULL),
        (
            "the supervisor does not start etcd: NO_FILE: can't find command '/x/etcd'",
            ErrorCode.BINARIES_MISSING,
        ),
        ("no certificate", None),
    ],
)
@pytest.mark.parametrize("refused", ["requests", "install"])
def test_a_refusal_is_told_by_its_words(
    room: SimulatedRoom, cluster: TestCluster, refused: str, told: str, code: ErrorCode | None
) -> None:
    node = cluster.nodes[0]
    MachineActivities(room.provider()).boot(booting(cluster, node))
    provider = Refusing(room.path)
    provider.refused, provider.told = refused, told
    activities = MachineActivities(provider)
    calls: dict[str, Callable[[], object]] = {
        "requests": lambda: activities.boot(booting(cluster, node)),
        "install": lambda: activities.install(InstallRequest(cluster=cluster.context, machine=node)),
    }
    with pytest.raises(StepError, match="machine workers-1") as raised:
        calls[refused]()
    own = ErrorCode.MACHINE_NOT_READY if refused == "requests" else ErrorCode.MACHINE_FAILED
    assert raised.value.code is (code or own)
    assert told in raised.value.message
