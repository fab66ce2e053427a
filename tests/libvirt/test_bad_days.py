"""One virtual machine on bad days: what the provider sees, and how the machine comes back."""

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from contracts.errors import StepError
from contracts.machines import MachineState
from tests.contract.clusters import TestCluster, wait_for
from tests.contract.rooms import new_cluster
from tests.libvirt.guests import in_a_room

if TYPE_CHECKING:  # the package libvirt is an extra
    from tests.libvirt.rooms import LibvirtRoom

pytestmark = in_a_room
HOUR = 3600
SMALL = {"cpus": 1, "memoryMiB": 1024}
POOLS = [{"name": "workers", "replicas": 1, "machine": SMALL}]


@pytest.fixture(scope="module")
def room() -> "Iterator[LibvirtRoom]":
    from tests.libvirt.rooms import libvirt_room  # noqa: PLC0415

    with libvirt_room() as made:
        yield made


@pytest.fixture(scope="module")
def cluster(room: "LibvirtRoom") -> Iterator[TestCluster]:
    """A cluster whose node has its certificates."""
    with new_cluster(room, node_pools=POOLS) as made:
        made.certify(room.provider(), made.nodes[0])
        yield made
        room.provider().delete_all(made.id)
        assert room.provider().list_left(made.id) == []


def domain_of(room: "LibvirtRoom", cluster: TestCluster) -> Any:
    found = room.hypervisor.domain(room.places.domain(cluster.id, "workers-1"))
    assert found is not None
    return found


def see(room: "LibvirtRoom", cluster: TestCluster) -> MachineState:
    return room.provider().observe_machine(cluster.id, "workers-1").state


def is_back(room: "LibvirtRoom", cluster: TestCluster) -> None:
    """See that the same machine comes back with what it had."""
    before = room.provider().observe_machine(cluster.id, "workers-1").instance_id
    facts = cluster.ensure(room.provider(), cluster.nodes[0])
    assert (facts.created, facts.instance_id) == (False, before)
    cluster.await_state(room.provider(), cluster.nodes[0], MachineState.UP)
    assert cluster.requests(room.provider(), cluster.nodes[0]).requests == {}


def test_paused(room: "LibvirtRoom", cluster: TestCluster) -> None:
    domain_of(room, cluster).suspend()
    assert see(room, cluster) is MachineState.STOPPED
    is_back(room, cluster)


def test_crashed(room: "LibvirtRoom", cluster: TestCluster) -> None:
    uuid = domain_of(room, cluster).UUIDString()
    [process] = [found for found in psutil.process_iter() if uuid in " ".join(found.cmdline())]
    process.kill()
    wait_for(lambda: see(room, cluster) is MachineState.STOPPED, "it is seen off")
    is_back(room, cluster)


def test_kernel_panic(room: "LibvirtRoom", cluster: TestCluster) -> None:
    """It boots anew by itself; a kernel whose processors are missed for 20 s panics when they are emulated."""
    assert room.run(cluster, "workers-1", "cat /proc/sys/kernel/softlockup_panic") == "1\n"
    boot = room.run(cluster, "workers-1", "cat /proc/sys/kernel/random/boot_id")
    room.write_root(cluster, "workers-1", "by-hand")
    room.run(cluster, "workers-1", "systemd-run --on-active=2 sh -c 'echo c > /proc/sysrq-trigger'")
    wait_for(lambda: see(room, cluster) is MachineState.BOOTING, "it says nothing", 60)
    cluster.await_state(room.provider(), cluster.nodes[0], MachineState.UP)
    assert room.run(cluster, "workers-1", "cat /proc/sys/kernel/random/boot_id") != boot
    assert not room.has_root(cluster, "workers-1", "by-hand")


def test_ends_by_itself_when_given_the_time(room: "LibvirtRoom", cluster: TestCluster) -> None:
    console = room.places.console(cluster.id, "workers-1")
    ends = console.read_text(errors="replace").count("reboot: Power down")
    room.provider().fence_machine(cluster.id, "workers-1", graceful=True)
    assert see(room, cluster) is MachineState.STOPPED
    assert console.read_text(errors="replace").count("reboot: Power down") == ends + 1
    is_back(room, cluster)


def test_silent_agent(room: "LibvirtRoom", cluster: TestCluster) -> None:
    room.run(cluster, "workers-1", "systemd-run --on-active=2 systemctl stop qemu-guest-agent")
    wait_for(lambda: see(room, cluster) is MachineState.BOOTING, "it says nothing", 60)
    room.provider().fence_machine(cluster.id, "workers-1")
    is_back(room, cluster)


def test_clock_set_wrong_while_it_runs(room: "LibvirtRoom", cluster: TestCluster) -> None:
    room.run(cluster, "workers-1", "systemctl stop chrony; date --set='2 hours ago'")
    assert see(room, cluster) is MachineState.UP
    assert abs(int(room.run(cluster, "workers-1", "date +%s")) - time.time()) < 60


@pytest.mark.parametrize("hours", [1, -1])
def test_clock_off(room: "LibvirtRoom", cluster: TestCluster, hours: int) -> None:
    """As a hypervisor without a time server has it; certificates would not be valid yet, or asked for too soon."""
    domain = domain_of(room, cluster)
    room.provider().fence_machine(cluster.id, "workers-1")
    wrong = f'<clock offset="variable" adjustment="{hours * HOUR}" basis="utc"'
    changed, count = re.subn(r"<clock offset=.(utc|variable).[^>/]*", wrong, domain.XMLDesc())
    assert count == 1
    room.hypervisor.connection.defineXML(changed)
    is_back(room, cluster)
    there = int(room.run(cluster, "workers-1", "date +%s"))
    assert abs(there - time.time()) < 60
    assert "variable" in domain.XMLDesc()


def test_disk_deleted(room: "LibvirtRoom", cluster: TestCluster) -> None:
    """It can't start, which is told; made anew it has another identity, and asks for all of its certificates."""
    provider, node = room.provider(), cluster.nodes[0]
    before = provider.observe_machine(cluster.id, node.name).instance_id
    domain_of(room, cluster).destroy()
    (room.places.volumes / room.places.volume(cluster.id, node.name, "state")).unlink()
    with pytest.raises(StepError, match="state") as raised:
        cluster.ensure(provider, node)
    assert raised.value.retryable
    provider.delete_machine(cluster.id, node.name)
    booted = cluster.boot(provider, node)
    assert booted.requests
    assert booted.instance_id != before
