"""What every provider of machines promises (``contracts.machines.Provider``), asked of each one."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.errors import ErrorCode
from contracts.certificates import held_by
from contracts.errors import StepError
from contracts.machines import (
    INSTALL_COMMAND,
    RENEW_COMMAND,
    REQUESTS_COMMAND,
    MachineRequests,
    MachineState,
    Provider,
)
from tests.contract.clusters import TestCluster, wait_for
from tests.contract.rooms import Room, new_cluster


def left(provider: Provider, cluster: TestCluster) -> set[tuple[str, str]]:
    """Return what has to be there or gone; processes come and go, and a bridge stays until its cluster goes."""
    found = provider.list_left(cluster.id)
    return {(item.kind, item.name) for item in found if item.kind not in {"bridge", "processes"}}


def keys(asked: MachineRequests) -> dict[str, bytes]:
    """Return the public keys that a machine asks with, by certificate."""
    parsed = {name: x509.load_pem_x509_csr(request.encode()) for name, request in asked.requests.items()}
    return {
        name: request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for name, request in parsed.items()
    }


def test_a_machine_is_made_once_and_found_again(room: Room, cluster: TestCluster) -> None:
    first = cluster.ensure(room.provider(), cluster.nodes[0])
    again = cluster.ensure(room.provider(), cluster.nodes[0])
    assert first.created
    assert not again.created
    assert (again.instance_id, again.address) == (first.instance_id, cluster.context.address(20))


def test_concurrent_calls_make_one_machine(room: Room, cluster: TestCluster) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: cluster.ensure(room.provider(), cluster.nodes[0]), range(6)))
    assert [facts.created for facts in made].count(True) == 1
    assert len({facts.instance_id for facts in made}) == 1


def test_a_lost_answer_makes_no_second_machine(room: Room, cluster: TestCluster) -> None:
    with pytest.raises(StepError) as raised:
        cluster.ensure(room.losing_the_answer("ensure_machine"), cluster.nodes[0])
    assert raised.value.retryable
    assert not cluster.ensure(room.provider(), cluster.nodes[0]).created
    assert left(room.provider(), cluster) == {("machine", "workers-1")}


def test_a_failure_leaves_nothing(room: Room, cluster: TestCluster) -> None:
    with pytest.raises(StepError):
        cluster.ensure(room.failing("ensure_machine"), cluster.nodes[0])
    assert left(room.provider(), cluster) == set()
    assert cluster.ensure(room.provider(), cluster.nodes[0]).created


def test_a_machine_boots_without_being_waited_for(provider: Provider, cluster: TestCluster) -> None:
    node = cluster.nodes[0]
    assert provider.observe_machine(cluster.id, node.name).state is MachineState.ABSENT
    facts = cluster.ensure(provider, node)
    seen = provider.observe_machine(cluster.id, node.name)
    assert seen.state in {MachineState.BOOTING, MachineState.UP}
    assert seen.instance_id == facts.instance_id
    cluster.await_state(provider, node, MachineState.UP)


def test_a_booted_machine_asks_for_the_certificates_of_its_role(provider: Provider, cluster: TestCluster) -> None:
    for machine in (cluster.slots[0], cluster.nodes[0]):
        booted = cluster.boot(provider, machine)
        assert set(booted.requests) == {
            certificate.name for certificate in held_by(machine.role, cluster.spec.provider)
        }
        assert booted.instance_id == provider.observe_machine(cluster.id, machine.name).instance_id
        for request in booted.requests.values():
            parsed = x509.load_pem_x509_csr(request.encode())
            assert not list(parsed.subject)
            assert isinstance(parsed.public_key(), ec.EllipticCurvePublicKey)


def test_secrets_can_be_sealed_to_control_plane_machines_alone(provider: Provider, cluster: TestCluster) -> None:
    sealing = cluster.boot(provider, cluster.slots[0]).sealing_certificate
    assert isinstance(x509.load_pem_x509_certificate(sealing.encode()).public_key(), rsa.RSAPublicKey)
    assert not cluster.boot(provider, cluster.nodes[0]).sealing_certificate


def test_what_was_installed_is_not_asked_for_again(provider: Provider, cluster: TestCluster) -> None:
    node = cluster.nodes[0]
    cluster.certify(provider, node)
    assert cluster.requests(provider, node).requests == {}
    seen = provider.observe_machine(cluster.id, node.name)
    assert set(seen.services.values()) == {"running"}
    assert provider.run_command(cluster.id, node.name, INSTALL_COMMAND).exit_status == 0


def test_what_ends_within_an_hour_is_asked_for_again(provider: Provider, cluster: TestCluster) -> None:
    node = cluster.nodes[0]
    booted = cluster.boot(provider, node)
    files = cluster.vault.answer(node, booted, timedelta(minutes=59))
    provider.write_files(cluster.id, node.name, files)
    assert provider.run_command(cluster.id, node.name, INSTALL_COMMAND).exit_status == 0
    assert cluster.requests(provider, node).requests.keys() == booted.requests.keys()


def test_new_keys_are_asked_with_until_they_are_certified(provider: Provider, cluster: TestCluster) -> None:
    node, names = cluster.nodes[0], ["kubelet", "kubelet-client"]
    first = cluster.boot(provider, node)
    cluster.certify(provider, node)
    new, again = cluster.renew(provider, node, names), cluster.renew(provider, node, names)
    assert keys(new) == keys(again)
    assert new.instance_id == first.instance_id
    assert not set(keys(new).values()) & set(keys(first).values())
    assert cluster.requests(provider, node).requests == {}
    provider.write_files(cluster.id, node.name, cluster.vault.answer(node, new))
    assert provider.run_command(cluster.id, node.name, INSTALL_COMMAND).exit_status == 0
    assert set(provider.observe_machine(cluster.id, node.name).services.values()) == {"running"}
    assert keys(cluster.renew(provider, node, names[:1]))["kubelet"] != keys(new)["kubelet"]
    refused = provider.run_command(cluster.id, node.name, [*RENEW_COMMAND, "etcd-peer"])
    assert refused.exit_status == 1
    assert "has no use for etcd-peer" in refused.stderr


def test_an_install_whose_answer_got_lost_is_done_again(room: Room, cluster: TestCluster) -> None:
    node, provider = cluster.nodes[0], room.provider()
    files = cluster.vault.answer(node, cluster.boot(provider, node))
    with pytest.raises(StepError):
        room.losing_the_answer("write_files").write_files(cluster.id, node.name, files)
    provider.write_files(cluster.id, node.name, files)
    with pytest.raises(StepError):
        room.losing_the_answer("run_command").run_command(cluster.id, node.name, INSTALL_COMMAND)
    provider.write_files(cluster.id, node.name, files)
    assert provider.run_command(cluster.id, node.name, INSTALL_COMMAND).exit_status == 0
    assert cluster.requests(provider, node).requests == {}


def test_certificates_for_another_machine_are_refused(provider: Provider, cluster: TestCluster) -> None:
    here, there = cluster.nodes
    booted = cluster.boot(provider, here)
    provider.write_files(cluster.id, here.name, cluster.vault.answer(there, cluster.boot(provider, there)))
    result = provider.run_command(cluster.id, here.name, INSTALL_COMMAND)
    assert result.exit_status == 1
    assert "is for another key" in result.stderr
    assert cluster.requests(provider, here).requests.keys() == booted.requests.keys()


def test_a_reboot_loses_all_but_state(room: Room, cluster: TestCluster) -> None:
    node, provider = cluster.nodes[0], room.provider()
    cluster.certify(provider, node)
    before = provider.observe_machine(cluster.id, node.name).instance_id
    room.write_root(cluster, node.name, "by-hand")
    provider.fence_machine(cluster.id, node.name)
    assert not cluster.ensure(provider, node).created
    cluster.await_state(provider, node, MachineState.UP)
    after = cluster.requests(provider, node)
    assert (after.instance_id, after.requests) == (before, {})
    assert not room.has_root(cluster, node.name, "by-hand")


def test_a_fenced_machine_is_seen_stopped_and_runs_nothing(provider: Provider, cluster: TestCluster) -> None:
    node = cluster.nodes[0]
    cluster.boot(provider, node)
    for graceful in (True, False):
        provider.fence_machine(cluster.id, node.name, graceful=graceful)
        assert provider.observe_machine(cluster.id, node.name).state is MachineState.STOPPED
    with pytest.raises(StepError) as raised:
        provider.run_command(cluster.id, node.name, REQUESTS_COMMAND)
    assert raised.value.code is ErrorCode.MACHINE_NOT_READY


def test_a_deleted_machine_is_gone_and_its_slots_volume_stays(provider: Provider, cluster: TestCluster) -> None:
    slot = cluster.slots[0]
    first = cluster.boot(provider, slot)
    for _ in range(2):
        provider.delete_machine(cluster.id, slot.name)
        assert provider.observe_machine(cluster.id, slot.name).state is MachineState.ABSENT
        assert left(provider, cluster) == {("volume", slot.name)}
    second = cluster.boot(provider, slot)
    assert second.instance_id != first.instance_id
    assert second.requests["etcd-peer"] != first.requests["etcd-peer"]


def test_what_is_meant_for_an_earlier_instance_spares_the_next(provider: Provider, cluster: TestCluster) -> None:
    node = cluster.nodes[0]
    first = cluster.ensure(provider, node).instance_id
    provider.delete_machine(cluster.id, node.name, first)
    provider.delete_machine(cluster.id, node.name, first)
    assert provider.observe_machine(cluster.id, node.name).state is MachineState.ABSENT
    second = cluster.ensure(provider, node).instance_id
    for late in (first, ""):
        provider.fence_machine(cluster.id, node.name, late)
        provider.delete_machine(cluster.id, node.name, late)
        seen = provider.observe_machine(cluster.id, node.name)
        assert seen.instance_id == second
        assert seen.state is not MachineState.STOPPED
    provider.fence_machine(cluster.id, node.name, second)
    assert provider.observe_machine(cluster.id, node.name).state is MachineState.STOPPED


def test_a_slot_with_data_is_not_filled_on_an_empty_volume(provider: Provider, cluster: TestCluster) -> None:
    used = cluster.slots[0].model_copy(update={"has_data": True})
    with pytest.raises(StepError) as raised:
        cluster.ensure(provider, used)
    assert (raised.value.code, raised.value.retryable) == (ErrorCode.VOLUME_LOST, False)
    assert left(provider, cluster) == set()
    cluster.certify(provider, cluster.slots[0])

    def is_found() -> bool:
        with contextlib.suppress(StepError):
            return not cluster.ensure(provider, used).created
        return False

    wait_for(is_found, "the volume is in use")
    provider.delete_machine(cluster.id, used.name)
    assert cluster.ensure(provider, used).created


def test_commands_that_a_machine_does_not_have(provider: Provider, cluster: TestCluster) -> None:
    node = cluster.nodes[0]
    cluster.boot(provider, node)
    result = provider.run_command(cluster.id, node.name, ["rm", "-rf", "/"])
    assert (result.exit_status, result.stderr) == (127, "rm: command not found")


def test_a_machine_that_does_not_exist(provider: Provider, cluster: TestCluster) -> None:
    with pytest.raises(StepError) as writing:
        provider.write_files(cluster.id, "workers-1", {"file": "text"})
    with pytest.raises(StepError) as running:
        provider.run_command(cluster.id, "workers-1", REQUESTS_COMMAND)
    assert writing.value.code is running.value.code is ErrorCode.MACHINE_NOT_READY
    provider.fence_machine(cluster.id, "workers-1")
    provider.delete_machine(cluster.id, "workers-1")
    assert left(provider, cluster) == set()


def test_one_slot_needs_no_endpoint(provider: Provider, cluster: TestCluster) -> None:
    provider.ensure_endpoint(cluster.context, cluster.slots)
    assert left(provider, cluster) == set()


def test_an_endpoint_is_made_for_three_slots(room: Room) -> None:
    if room.name == "libvirt":
        pytest.skip("virtual machines share the API's address: tests/libvirt/test_three_control_planes.py")
    provider = room.provider()
    with new_cluster(room, control_plane={"replicas": 3}, node_pools=[]) as large:
        for _ in range(2):
            provider.ensure_endpoint(large.context, large.slots)
            assert left(provider, large) == {("endpoint", "endpoint")}
        provider.delete_all(large.id)
        assert left(provider, large) == set()
        with pytest.raises(StepError) as raised:
            provider.ensure_endpoint(large.context, large.slots)
        assert raised.value.code is ErrorCode.CLUSTER_DELETED


def test_a_deleted_cluster_is_gone_and_stays_gone(provider: Provider, cluster: TestCluster) -> None:
    for machine in (*cluster.slots, *cluster.nodes):
        cluster.boot(provider, machine)
    assert left(provider, cluster) == {
        ("machine", "control-plane-1"),
        ("machine", "workers-1"),
        ("machine", "workers-2"),
        ("volume", "control-plane-1"),
    }
    for _ in range(2):
        provider.delete_all(cluster.id)
        assert provider.list_left(cluster.id) == []
    with pytest.raises(StepError) as raised:
        cluster.ensure(provider, cluster.nodes[0])
    assert (raised.value.code, raised.value.retryable) == (ErrorCode.CLUSTER_DELETED, False)
    with pytest.raises(StepError) as writing:
        provider.write_files(cluster.id, "workers-1", {"file": "text"})
    assert writing.value.code is ErrorCode.CLUSTER_DELETED
    assert provider.list_left(cluster.id) == []


def test_a_delete_whose_answer_got_lost_is_done_again(room: Room, cluster: TestCluster) -> None:
    cluster.boot(room.provider(), cluster.nodes[0])
    with pytest.raises(StepError):
        room.losing_the_answer("delete_all").delete_all(cluster.id)
    room.provider().delete_all(cluster.id)
    assert room.provider().list_left(cluster.id) == []


def test_a_delete_of_what_never_was(provider: Provider, cluster: TestCluster) -> None:
    provider.delete_all(cluster.id)
    with pytest.raises(StepError) as raised:
        cluster.ensure(provider, cluster.slots[0])
    assert raised.value.code is ErrorCode.CLUSTER_DELETED


def test_a_delete_during_creation_leaves_nothing(room: Room, cluster: TestCluster) -> None:
    """Whichever comes first: what is made after the tombstone is refused, what was made before is removed."""
    with ThreadPoolExecutor(4) as pool:
        machines = [*cluster.slots, *cluster.nodes]
        made = [pool.submit(cluster.ensure, room.provider(), machine) for machine in machines]
        gone = pool.submit(room.provider().delete_all, cluster.id)
    gone.result()
    refused = [future.exception() for future in made if future.exception()]
    assert all(isinstance(error, StepError) and error.code is ErrorCode.CLUSTER_DELETED for error in refused)
    assert room.provider().list_left(cluster.id) == []


def test_other_clusters_are_left_alone(room: Room, provider: Provider, cluster: TestCluster) -> None:
    with new_cluster(room) as other:
        other.id = f"{cluster.id}-2"
        other.context = other.context.model_copy(update={"cluster_id": other.id})
        cluster.boot(provider, cluster.nodes[0])
        other.boot(provider, other.nodes[0])
        listed = {(item.cluster_id, item.name) for item in provider.list_left() if item.kind == "machine"}
        assert {(cluster.id, "workers-1"), (other.id, "workers-1")} <= listed
        provider.delete_all(cluster.id)
        assert left(provider, cluster) == set()
        assert provider.observe_machine(other.id, "workers-1").state is MachineState.UP
