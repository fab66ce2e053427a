"""A hypervisor whose disk is full: a machine that wants to write is paused, and comes back when there is room.

Volumes grow as they are written to, and more of them are given away than there is room for.
"""

import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from contracts.machines import MachineState
from nodes.ignition import LAYOUT
from tests.contract.clusters import wait_for
from tests.contract.rooms import new_cluster
from tests.libvirt.guests import in_a_room
from tests.libvirt.test_bad_days import POOLS, is_back, see

if TYPE_CHECKING:  # the package libvirt is an extra
    from tests.libvirt.rooms import LibvirtRoom

pytestmark = in_a_room
SIZE_MIB = 400


@pytest.fixture
def small() -> "Iterator[LibvirtRoom]":
    """A hypervisor with little room for volumes."""
    from tests.libvirt.rooms import libvirt_room  # noqa: PLC0415

    with libvirt_room() as room:
        volumes = room.places.volumes
        volumes.mkdir(mode=0o711)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "volumes", str(volumes)], check=True)
        try:
            yield room
        finally:
            subprocess.run(["umount", "--lazy", str(volumes)], check=True)


def test_a_machine_that_can_not_write_is_paused_and_comes_back_when_it_is_switched_on(
    small: "LibvirtRoom",
) -> None:
    """Its scratch volume, made anew at each boot, is what had taken the room."""
    with new_cluster(small, node_pools=POOLS) as cluster:
        cluster.certify(small.provider(), cluster.nodes[0])
        small.run(cluster, "workers-1", f"systemd-run dd if=/dev/urandom of={LAYOUT.scratch}/fill bs=1M")
        wait_for(lambda: see(small, cluster) is MachineState.STOPPED, "it is seen off", 300)
        small.provider().fence_machine(cluster.id, "workers-1")
        is_back(small, cluster)
        assert not small.run(cluster, "workers-1", f"ls {LAYOUT.scratch}/fill 2>/dev/null")
        small.provider().delete_all(cluster.id)
        assert small.provider().list_left(cluster.id) == []
