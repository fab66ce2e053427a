"""A hypervisor's networks and its check, with libvirt's daemon and the kernel, and without any machine."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.errors import ErrorCode
from contracts.context import ClusterContext, Host, Placements
from contracts.errors import StepError
from contracts.hypervisors import CheckRequest, HypervisorFacts, NetworkRequest
from tests.contract.clusters import TestCluster
from tests.libvirt.guests import in_a_room, links

if TYPE_CHECKING:  # the package libvirt is an extra
    from activities.libvirt.provider import Settings

pytestmark = in_a_room
OWN, OTHER = "198.18.1.1", "198.18.1.2"
MTU = 1450


@pytest.fixture
def settings(tmp_path: Path) -> "Iterator[Settings]":
    """A hypervisor with an address, and nothing on it before or after."""
    from activities.libvirt.hypervisor import Hypervisor  # noqa: PLC0415
    from activities.libvirt.provider import Settings  # noqa: PLC0415

    ip("link", "add", "wire", "type", "bridge")
    ip("address", "add", f"{OWN}/24", "dev", "wire")
    ip("link", "set", "wire", "up")
    yield Settings(tmp_path / "hypervisor", kind="qemu", address=OWN)
    ip("link", "delete", "wire")
    with contextlib.suppress(AttributeError):
        pool = Hypervisor("qemu:///system", tmp_path).connection.storagePoolLookupByName("giantnetes")
        pool.destroy()
        pool.undefine()


@pytest.fixture
def cluster() -> ClusterContext:
    """A cluster with machines on this hypervisor, the second of its hypervisors, and on another one."""
    hosts = {"other": Host(address=OTHER, host=1), "own": Host(address=OWN, host=2)}
    placements = Placements(machines={"workers-1": "own"}, hosts=hosts, mtu=MTU)
    made = TestCluster("libvirt", "10.63.253.0/24")
    return made.context.model_copy(update={"placements": placements})


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def check(settings: "Settings") -> HypervisorFacts:
    from activities.libvirt.checking import HypervisorActivities  # noqa: PLC0415

    return HypervisorActivities(settings).check(CheckRequest(site="default", name="own"))


def ensure(settings: "Settings", cluster: ClusterContext) -> None:
    from activities.libvirt.checking import HypervisorActivities  # noqa: PLC0415

    HypervisorActivities(settings).ensure_network(NetworkRequest(cluster=cluster, hypervisor="own"))


def remove(settings: "Settings", cluster: ClusterContext) -> None:
    from activities.libvirt.provider import LibvirtProvider  # noqa: PLC0415

    LibvirtProvider(settings, lambda _: {}).delete_all(cluster.cluster_id)


def test_a_check_tells_what_there_is(settings: "Settings", cluster: ClusterContext) -> None:
    first = check(settings)
    assert first == check(settings), "its id lasts"
    assert (first.kind, first.address, first.mtu, first.clusters) == ("qemu", OWN, MTU, [])
    assert min(first.capacity.cpus, first.capacity.memory_mib, first.capacity.disk_mib) > 0
    ensure(settings, cluster)
    assert check(settings).clusters == [cluster.cluster_id]
    remove(settings, cluster)


def test_a_network_has_the_hypervisors_own_address_and_reaches_the_others(
    settings: "Settings", cluster: ClusterContext
) -> None:
    for _ in range(2):
        ensure(settings, cluster)
    (bridge,), (device,) = links("bridge"), links("vxlan")
    assert "inet 10.63.253.2/24" in ip("address", "show", "dev", bridge)
    assert f"mtu {MTU}" in ip("link", "show", "dev", bridge)
    assert f"master {bridge}" in ip("link", "show", "dev", device)
    remove(settings, cluster)
    assert links("bridge") == links("vxlan") == []
    assert list((settings.folder / "networks").iterdir()) == []


def test_what_somebody_took_apart_is_made_whole(settings: "Settings", cluster: ClusterContext) -> None:
    ensure(settings, cluster)
    (device,) = links("vxlan")
    ip("link", "delete", device)
    check(settings)
    assert links("vxlan") == [device]
    remove(settings, cluster)
    check(settings)
    assert links("vxlan") == links("bridge") == []


def test_a_cluster_that_was_deleted_gets_no_network(settings: "Settings", cluster: ClusterContext) -> None:
    remove(settings, cluster)
    with pytest.raises(StepError) as raised:
        ensure(settings, cluster)
    assert raised.value.code is ErrorCode.CLUSTER_DELETED
    assert links("bridge") == []


def test_an_address_that_it_has_not_is_named(settings: "Settings") -> None:
    ip("address", "flush", "dev", "wire")
    with pytest.raises(StepError, match=OWN) as raised:
        check(settings)
    assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE
