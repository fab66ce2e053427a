"""The faults of the simulated world, one by one."""

import time

import pytest

from activities.simulated.provider import SimulatedProvider
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.machines import REQUESTS_COMMAND, MachineState
from tests.contract.clusters import TestCluster
from tests.contract.rooms import SimulatedRoom


def failure(provider: SimulatedProvider, cluster: TestCluster) -> StepError:
    with pytest.raises(StepError) as raised:
        cluster.ensure(provider, cluster.nodes[0])
    assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    return raised.value


def exists(provider: SimulatedProvider, cluster: TestCluster) -> bool:
    return bool(provider.list_left(cluster.id))


def test_fail(room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster) -> None:
    room.faults.fail("ensure_machine", times=2)
    for _ in range(2):
        failure(provider, cluster)
        assert not exists(provider, cluster)
    assert cluster.ensure(provider, cluster.nodes[0]).created


def test_throttle(room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster) -> None:
    room.faults.throttle("ensure_machine")
    assert "throttle" in failure(provider, cluster).message
    assert not exists(provider, cluster)


def test_time_out(room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster) -> None:
    room.faults.time_out("ensure_machine", seconds=0.2)
    began = time.monotonic()
    failure(provider, cluster)
    assert time.monotonic() - began >= 0.2
    assert not exists(provider, cluster)


def test_a_late_answer(room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster) -> None:
    room.faults.answer_late("ensure_machine")
    failure(provider, cluster)
    assert exists(provider, cluster)


def test_a_stale_answer(room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster) -> None:
    cluster.boot(provider, cluster.nodes[0])
    provider.fence_machine(cluster.id, "workers-1")
    room.faults.answer_stale("observe_machine")
    assert provider.observe_machine(cluster.id, "workers-1").state is MachineState.UP
    assert provider.observe_machine(cluster.id, "workers-1").state is MachineState.STOPPED


def test_a_stale_list_shows_what_is_gone(
    room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster
) -> None:
    cluster.ensure(provider, cluster.nodes[0])
    assert provider.list_left(cluster.id)
    provider.delete_all(cluster.id)
    room.faults.answer_stale("list_left")
    assert provider.list_left(cluster.id)
    assert not provider.list_left(cluster.id)


def test_faults_concern_one_operation_and_can_be_forgotten(
    room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster
) -> None:
    room.faults.fail("delete_all", times=5)
    cluster.ensure(provider, cluster.nodes[0])
    room.faults.clear()
    provider.delete_all(cluster.id)


def test_boots_take_the_time_that_is_set(
    room: SimulatedRoom, provider: SimulatedProvider, cluster: TestCluster
) -> None:
    room.faults.boot_seconds(0.3)
    cluster.ensure(provider, cluster.nodes[0])
    assert provider.observe_machine(cluster.id, "workers-1").state is MachineState.BOOTING
    with pytest.raises(StepError) as raised:
        provider.run_command(cluster.id, "workers-1", REQUESTS_COMMAND)
    assert raised.value.code is ErrorCode.MACHINE_NOT_READY
    cluster.await_state(provider, cluster.nodes[0], MachineState.UP)
