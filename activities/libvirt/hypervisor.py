"""One hypervisor's libvirt: domains, volumes and networks that carry our tag. Raises libvirt's own errors."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import libvirt

from activities.libvirt.errors import is_missing
from activities.libvirt.places import searchable_folder
from activities.libvirt.xml import pool_xml, tag_of, volume_xml
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.hypervisors import Resources

POOL = "giantnetes"
GIB = 1024**3
GONE_SECONDS = 30.0
OWN_MIB = 1024
"""Memory that a hypervisor keeps for its kernel, libvirt and its worker, which take half of that."""
POLL_SECONDS = 0.1
T = TypeVar("T")
_OFF = {libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_NOSTATE}

OPEN_SECONDS = 30.0
ALIVE_SECONDS = 10
ALIVE_TRIES = 3
"""A daemon that answers nothing for so long, so many times, is taken for gone, and every call to it fails."""

libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print what is raised as well


class Hypervisor:
    """The libvirt daemon at ``uri``; ``volumes`` is the folder of the pool that is made there."""

    def __init__(self, uri: str, volumes: Path) -> None:
        """Connect when first used."""
        self._uri = uri
        self._volumes = volumes
        self._connection: libvirt.virConnect | None = None
        self._connecting = threading.Lock()

    @property
    def connection(self) -> libvirt.virConnect:
        """The connection, made anew when the daemon has been restarted."""
        with self._connecting:
            if self._connection is None or not self._connection.isAlive():
                self._connection = _open(self._uri)
            return self._connection

    def domain(self, name: str) -> libvirt.virDomain | None:
        """Return a domain by name."""
        return _found(lambda: self.connection.lookupByName(name))

    def domain_with(self, uuid: str) -> libvirt.virDomain | None:
        """Return the domain of a uuid: whatever its name, it is the one that was made for it."""
        return _found(lambda: self.connection.lookupByUUIDString(uuid))

    def ensure_domain(self, name: str, uuid: str, xml: Callable[[], str]) -> None:
        """Define a domain unless it is there, have it start with the hypervisor, and have it run.

        Raises MACHINE_FAILED when somebody else's domain has its name.
        """
        domain = self.domain_with(uuid)
        if domain is None and self.domain(name) is not None:
            raise StepError(
                ErrorCode.MACHINE_FAILED, f"there is a domain {name} that was not made for the machine"
            )
        domain = domain or self.connection.defineXML(xml())
        domain.setAutostart(1)
        state = domain.state()[0]
        if state in _OFF:
            domain.create()
        elif state == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()

    def machine_domains(self, name: str, uuid: str, tag: tuple[str, str]) -> list[libvirt.virDomain]:
        """Return the domain that was made for a machine, whatever it is called now, and one of its name and tag.

        There are none or one, unless somebody renamed one. Raises MACHINE_FAILED for a domain of its name that is
        somebody else's.
        """
        made = self.domain_with(uuid) if uuid else None
        named = self.domain(name)
        if named is not None and (made is None or named.UUIDString() != made.UUIDString()):
            if _tag(named.XMLDesc) != tag:
                raise StepError(ErrorCode.MACHINE_FAILED, f"the domain {name} was not made for the machine")
            return [domain for domain in (made, named) if domain is not None]
        return [made] if made is not None else []

    def stop_domain(self, domain: libvirt.virDomain, grace_seconds: float = 0) -> None:
        """Take a domain's power, also across a restart of the hypervisor; return when it is seen stopped.

        One that runs is asked to end by itself before, and has ``grace_seconds`` for it.
        """
        name = domain.name()
        domain.setAutostart(0)
        if grace_seconds and domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING:
            with contextlib.suppress(libvirt.libvirtError):  # it may have ended meanwhile
                # By the power button: the agent would be waited for, in vain if it is silent.
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
                _await_off(domain, grace_seconds)
        if domain.state()[0] not in _OFF:
            with contextlib.suppress(
                libvirt.libvirtError
            ):  # it may have ended by itself; the state is what counts
                domain.destroy()
        if not _await_off(domain, GONE_SECONDS):
            raise StepError(ErrorCode.NOT_GONE, f"domain {name} does not end within {GONE_SECONDS:.0f} s")

    def remove_domain(self, domain: libvirt.virDomain) -> None:
        """Stop a domain and forget it."""
        self.stop_domain(domain)
        domain.undefine()

    def is_off(self, domain: libvirt.virDomain, *, paused: bool = True) -> bool:
        """Return whether a domain doesn't run; QEMU pauses one whose disk can't be written, and people do.

        Without ``paused`` only one without a process counts.
        """
        return domain.state()[0] in {*_OFF, *([libvirt.VIR_DOMAIN_PAUSED] if paused else [])}

    def domains(self) -> list[tuple[str, str]]:
        """Return cluster id and machine of each of our domains."""
        tags = (_tag(domain.XMLDesc) for domain in self.connection.listAllDomains())
        return [tag for tag in tags if tag]

    def ensure_network(self, name: str, xml: str) -> None:
        """Make a cluster's network unless it is there, now and whenever the hypervisor starts."""
        found = _found(lambda: self.connection.networkLookupByName(name))
        made = found or self.connection.networkDefineXML(xml)
        made.setAutostart(1)
        if not made.isActive():
            made.create()

    def remove_network(self, name: str) -> None:
        """Remove a network with its bridge and firewall rules."""
        network = _found(lambda: self.connection.networkLookupByName(name))
        if network is None:
            return
        if network.isActive():
            network.destroy()
        network.undefine()

    def networks(self) -> list[str]:
        """Return the cluster ids of our networks."""
        tags = (_tag(network.XMLDesc) for network in self.connection.listAllNetworks())
        return [tag[0] for tag in tags if tag]

    def ensure_volume(self, name: str, size_mib: int) -> Path:
        """Make a volume unless it is there; return its file."""
        pool = self._pool()
        volume = _found(lambda: pool.storageVolLookupByName(name)) or pool.createXML(volume_xml(name, size_mib))
        return Path(volume.path())

    def remove_volume(self, name: str) -> None:
        """Remove a volume, if it is there."""
        if volume := _found(lambda: self._pool().storageVolLookupByName(name)):
            volume.delete()

    def capacity(self) -> Resources:
        """Return what the hypervisor has for machines; of the disk what is free and what our volumes take."""
        pool, host = self._pool(), self.connection.getInfo()
        free, taken = pool.info()[3], sum(volume.info()[2] for volume in pool.listAllVolumes())
        # Whole GiB: what is free changes all the time, and who is told of it writes it down.
        return Resources(cpus=host[2], memory_mib=max(0, host[1] - OWN_MIB), disk_mib=(free + taken) // GIB * 1024)

    def volume_names(self) -> list[str]:
        """Return the names of all volumes of the pool."""
        return [str(volume.name()) for volume in self._pool().listAllVolumes()]

    def _pool(self) -> libvirt.virStoragePool:
        pool = _found(lambda: self.connection.storagePoolLookupByName(POOL))
        if pool is None:
            searchable_folder(self._volumes)
            pool = self.connection.storagePoolDefineXML(pool_xml(POOL, self._volumes))
            pool.setAutostart(1)
        if not pool.isActive():
            pool.create()
        pool.refresh()
        return pool


def _await_off(domain: libvirt.virDomain, seconds: float) -> bool:
    """Wait until a domain is off; False when it isn't in time."""
    deadline = time.monotonic() + seconds
    while domain.state()[0] not in _OFF:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _open(uri: str) -> libvirt.virConnect:
    """Connect; StepError when the daemon takes the connection and then says nothing."""
    _start_event_loop()
    opening = ThreadPoolExecutor(1, thread_name_prefix="libvirt-open")
    try:
        connection = opening.submit(libvirt.open, uri).result(OPEN_SECONDS)
    except TimeoutError:
        text = f"libvirt at {uri} does not answer within {OPEN_SECONDS:.0f} s"
        raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, text) from None
    finally:
        opening.shutdown(wait=False)
    connection.setKeepAlive(ALIVE_SECONDS, ALIVE_TRIES)
    return connection


@functools.cache
def _start_event_loop() -> None:
    """Run libvirt's event loop, which sends and expects the signs of life of connections."""
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=run, name="libvirt-events", daemon=True).start()


def _found(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except libvirt.libvirtError as error:
        if is_missing(error):
            return None
        raise


def _tag(describe: Callable[[], str]) -> tuple[str, str] | None:
    """Return whose a domain or network is; None also for one that has gone since it was listed."""
    xml = _found(describe)
    return tag_of(xml) if xml else None
