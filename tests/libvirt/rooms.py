"""A hypervisor for tests: the libvirt daemon of ``room.sh``, and a folder for the provider."""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from activities.libvirt.agent import Agent
from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.places import Places
from activities.libvirt.provider import LibvirtProvider, Settings
from api.release import Release
from contracts.machines import Provider
from deploy.binaries.progress import to_stderr
from deploy.node_image import machine_images
from planning.releases import load_releases
from tests.contract.clusters import RELEASE, TestCluster
from tests.contract.rooms import Faulty

URI = "qemu:///system"


class LibvirtRoom:
    """One hypervisor."""

    name = "libvirt"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(folder)
        self.hypervisor = Hypervisor(URI, self.places.volumes)

    def provider(self) -> LibvirtProvider:
        return LibvirtProvider(Settings(self.folder, URI, "qemu"), images)

    def failing(self, operation: str) -> Provider:
        return Faulty(self.provider(), operation, lost=False)

    def losing_the_answer(self, operation: str) -> Provider:
        return Faulty(self.provider(), operation, lost=True)

    def run(self, cluster: TestCluster, machine: str, *command: str) -> str:
        """Run any command on a machine, as somebody with the hypervisor's root could; return what it prints."""
        domain = self.hypervisor.domain(self.places.domain(cluster.id, machine))
        assert domain is not None
        return Agent(domain).run(["/bin/sh", "-c", *command]).stdout

    def write_root(self, cluster: TestCluster, machine: str, file: str) -> None:
        self.run(cluster, machine, f"touch /etc/{file} /usr/bin/{file} /root/{file}")

    def has_root(self, cluster: TestCluster, machine: str, file: str) -> bool:
        return bool(self.run(cluster, machine, f"ls /etc/{file} /usr/bin/{file} /root/{file} 2>/dev/null"))


@functools.cache
def _images(name: str) -> Mapping[str, Path]:
    return machine_images(load_releases()[name], to_stderr)


def images(release: Release) -> Mapping[str, Path]:
    """Return what machines of a release boot from; made before, as the room has no network."""
    return _images(release.name)


@contextlib.contextmanager
def libvirt_room() -> Iterator[LibvirtRoom]:
    """Give a hypervisor without machines; what is left at the end, ends with the namespace."""
    images(load_releases()[RELEASE])
    folder = Path(tempfile.mkdtemp(prefix="g8s-hypervisor-", dir="/var/tmp"))
    room = LibvirtRoom(folder)
    try:
        yield room
    finally:
        # The daemon outlives the folder, and the next hypervisor has another one.
        for pool in room.hypervisor.connection.listAllStoragePools():
            pool.destroy()
            pool.undefine()
        shutil.rmtree(folder)
