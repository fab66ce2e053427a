"""Bad days of the local provider: each has a code, and a sentence that says what happened to what."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.local.errors import step_errors
from activities.local.provider import LocalProvider
from activities.local.supervisor import Supervisor
from activities.machines import MachineActivities
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.machines import (
    SEALED,
    InstallRequest,
    MachinePlan,
    MachineRequest,
    MachineState,
    Provider,
)
from deploy.stack import supervisord
from tests.contract.clusters import RELEASE, TestCluster, wait_for
from tests.contract.rooms import LocalRoom, new_cluster


def failure(provider: Provider, cluster: TestCluster, machine: MachinePlan) -> StepError:
    with pytest.raises(StepError) as raised:
        cluster.ensure(provider, machine)
    assert "Traceback" not in raised.value.message
    return raised.value


def provider_with(room: LocalRoom, binaries: dict[str, Path], balancer: Path) -> LocalProvider:
    supervisor, socket_path = supervisord.connect(room.stack), room.stack.supervisor_socket
    return LocalProvider(room.stack.state, supervisor, socket_path, lambda _: binaries, balancer)


def test_binaries_that_are_missing(shared_room: LocalRoom, cluster: TestCluster) -> None:
    provider = provider_with(shared_room, {"etcd": Path("/nowhere/etcd")}, Path("/nowhere/traefik"))
    error = failure(provider, cluster, cluster.slots[0])
    assert error.code is ErrorCode.BINARIES_MISSING
    assert f"release {RELEASE} lacks /nowhere/etcd" in error.message
    assert "kube-apiserver" in error.message
    assert provider.list_left(cluster.id) == []


def test_a_balancer_that_is_missing(shared_room: LocalRoom) -> None:
    provider = provider_with(shared_room, {}, Path("/nowhere/traefik"))
    with new_cluster(shared_room, control_plane={"replicas": 3}) as cluster:
        with pytest.raises(StepError) as raised:
            provider.ensure_endpoint(cluster.context, cluster.slots)
        assert raised.value.code is ErrorCode.BINARIES_MISSING


def test_a_release_that_nobody_knows(shared_room: LocalRoom) -> None:
    with new_cluster(shared_room, release="9.9.9-1") as cluster:
        error = failure(shared_room.provider(), cluster, cluster.nodes[0])
    assert (error.code, error.retryable) == (ErrorCode.UNKNOWN_RELEASE, False)


def test_a_port_that_is_taken_and_then_given_back(shared_room: LocalRoom, cluster: TestCluster) -> None:
    provider, node = shared_room.provider(), cluster.nodes[0]
    with socket.create_server((cluster.context.address(node.host), 10250)):
        error = failure(provider, cluster, node)
        assert error.code is ErrorCode.ADDRESS_IN_USE
        assert f"{cluster.context.address(node.host)}:10250 is taken by process {os.getpid()}" in error.message
        assert provider.observe_machine(cluster.id, node.name).state is MachineState.STOPPED
    cluster.boot(provider, node)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(
    shared_room: LocalRoom, cluster: TestCluster, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        error = failure(shared_room.provider(), cluster, cluster.nodes[0])
    assert error.code is ErrorCode.DISK_FULL
    assert str(shared_room.folder(cluster, "workers-1")) in error.message
    cluster.boot(shared_room.provider(), cluster.nodes[0])


def test_a_supervisor_that_is_away(shared_room: LocalRoom, cluster: TestCluster, tmp_path: Path) -> None:
    nobody = Supervisor(tmp_path / "nobody.sock", tmp_path / "lock")
    stack = shared_room.stack
    provider = LocalProvider(stack.state, nobody, tmp_path / "nobody.sock", shared_room.binaries, Path("traefik"))
    error = failure(provider, cluster, cluster.nodes[0])
    assert error.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert "`just up`" in error.message
    with pytest.raises(StepError) as raised:
        provider.observe_machine(cluster.id, "workers-1")
    assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert {item.kind for item in provider.list_left(cluster.id)} == {"machine"}
    cluster.boot(shared_room.provider(), cluster.nodes[0])


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a.b", "x" * 64, "a\n"])
def test_names_that_could_lead_elsewhere(shared_room: LocalRoom, cluster: TestCluster, name: str) -> None:
    provider = shared_room.provider()
    for call in (
        lambda: provider.delete_all(name),
        lambda: provider.delete_machine(cluster.id, name),
        lambda: provider.observe_machine(name, "workers-1"),
    ):
        with pytest.raises(StepError) as raised:
            call()
        assert raised.value.code is ErrorCode.INTERNAL


@pytest.mark.parametrize("file", ["../machine.json", ".hidden", "a/b", ""])
def test_files_that_would_land_elsewhere(shared_room: LocalRoom, cluster: TestCluster, file: str) -> None:
    provider, node = shared_room.provider(), cluster.nodes[0]
    cluster.ensure(provider, node)
    with pytest.raises(StepError) as raised:
        provider.write_files(cluster.id, node.name, {file: "text"})
    assert raised.value.code is ErrorCode.INTERNAL


def test_other_errors_of_the_file_system_name_the_file() -> None:
    with pytest.raises(StepError) as raised, step_errors("looking"):
        Path("/proc/self/mem").read_text()
    assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert raised.value.message.startswith("looking: ")


class TestServicesThatFail:
    """The API server refuses an unknown feature gate at once, and for ever."""

    @pytest.fixture
    def cluster(self, shared_room: LocalRoom) -> Iterator[TestCluster]:
        with new_cluster(shared_room, api_server={"feature_gates": {"NoSuchGate": True}}) as made:
            yield made

    def test_the_machine_says_why(self, shared_room: LocalRoom, cluster: TestCluster) -> None:
        provider, slot = shared_room.provider(), cluster.slots[0]
        cluster.certify(provider, slot)
        wait_for(lambda: _state(provider, cluster, "kube-apiserver") == "failed", "the failure to be seen")
        request = InstallRequest(cluster=cluster.context, machine=slot)
        with pytest.raises(StepError) as raised:
            MachineActivities(provider).install(request)
        assert raised.value.code is ErrorCode.MACHINE_FAILED
        assert "machine control-plane-1 fails: kube-apiserver: " in raised.value.message
        assert "NoSuchGate" in raised.value.message
        assert provider.observe_machine(cluster.id, slot.name).state is MachineState.FAILED
        assert _state(provider, cluster, "etcd") == "running"


def test_a_boot_that_fails_says_why_and_is_tried_again(shared_room: LocalRoom, cluster: TestCluster) -> None:
    provider, slot = shared_room.provider(), cluster.slots[0]
    obstacle = shared_room.stack.state / "volumes" / cluster.id / slot.name / "etcd"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("no folder")
    activities = MachineActivities(provider)
    request = MachineRequest(cluster=cluster.context, machine=slot, slots=cluster.slots)
    with pytest.raises(StepError) as raised:
        activities.boot(request)
    assert raised.value.code is ErrorCode.MACHINE_FAILED
    assert f"machine control-plane-1 fails: boot: boot failed: File exists: {obstacle}" in raised.value.message
    obstacle.unlink()
    assert SEALED not in activities.boot(request).requests


def _state(provider: Provider, cluster: TestCluster, service: str) -> str:
    return provider.observe_machine(cluster.id, "control-plane-1").services[service]
