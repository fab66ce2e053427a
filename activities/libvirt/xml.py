"""What libvirt is asked for, as XML (https://libvirt.org/format.html)."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from nodes.ignition import RELEASE_DISK

NAMESPACE = "https://giantnetes.io/libvirt/v1"
"""Of the element in the metadata of domains and networks that says which cluster they belong to."""

AGENT_CHANNEL = "org.qemu.guest_agent.0"
COMMAND_LINE = (
    "root=/dev/disk/by-id/virtio-root rootfstype=erofs ro systemd.volatile=overlay "
    "console=ttyS0 ignition.firstboot ignition.platform.id=qemu ipv6.disable=1 net.ifnames=0 panic=5"
)
"""Clusters have IPv4 only: NetworkPolicies would not hold for what finds its way by IPv6's own addresses. A kernel
that panics boots anew, which makes all but its state anew."""

EMULATED = "tsc=reliable highres=off nohz=off mitigations=off no5lvl init_on_alloc=0 psi=0 softlockup_panic=1"
"""Added to it for emulated processors. Without the first the kernel takes their TSC for unsynchronised, and reads
the time from the HPET, under QEMU's one lock. A timer that is set anew for each event takes that lock as well: by
the next two it ticks 250 times a second instead. The others spare work that is dear there, but the last: when
the kernel changes its own code (static keys), QEMU 7.2 may keep the translation of the breakpoint that stood there
meanwhile. Processors that come there are trapped for ever, until they are missed for 20 s."""

IGNITION = "opt/com.coreos/config"
IGNITION_OF_FLATCAR = "opt/org.flatcar-linux/config"
"""Names in QEMU's fw_cfg under which Ignition looks for its configuration: that of most systems, and Flatcar's."""

SLOW_FEATURES = ("erms", "la57", "smap", "pku")
"""What QEMU emulates at a cost, and what programs don't need: with ``erms`` the kernel copies and clears memory by
instructions that are emulated byte by byte, the others make each access to memory slower."""

TRANSLATION_CACHE_MIB = 1024
"""For emulated processors. A node's programs are some 700 MiB when translated; a cache that is full is emptied,
and with 256 MiB all of it was translated again every few seconds. Only what is used takes memory."""

ET.register_namespace("giantnetes", NAMESPACE)


@dataclass(frozen=True)
class Images:
    """Read-only files that machines boot from, shared by all of them."""

    root: Path
    kernel: Path
    initrd: Path
    disk: Path


@dataclass(frozen=True)
class SelfBooting:
    """What a machine with another operating system boots from: read-only files, shared by all of them.

    ``system`` is a disk image in ``format`` (qcow2, raw), which has a loader of its own.
    """

    system: Path
    format: str
    disk: Path


@dataclass(frozen=True)
class Volume:
    """A disk of one machine: its file, its serial number; ``lasting`` when a crash may not harm it."""

    path: Path
    serial: str
    lasting: bool = True


@dataclass(frozen=True)
class DomainSpec:
    """A machine as libvirt sees it. ``kind`` is ``kvm`` or ``qemu``."""

    kind: str
    name: str
    uuid: str
    cluster_id: str
    machine: str
    cpus: int
    memory_mib: int
    images: Images | SelfBooting
    ignition: Path
    console: Path
    volumes: tuple[Volume, ...]
    network: str


def domain_xml(spec: DomainSpec) -> str:
    """Return the XML of a domain."""
    domain = Element("domain", type=spec.kind)
    _texts(domain, name=spec.name, uuid=spec.uuid)
    _tag(domain, spec.cluster_id, spec.machine)
    SubElement(domain, "memory", unit="MiB").text = str(spec.memory_mib)
    SubElement(domain, "vcpu", placement="static").text = str(spec.cpus)
    emulated = spec.kind == "qemu"
    _boot(domain, spec)
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    if emulated:
        cache = SubElement(SubElement(features, "tcg"), "tb-cache", unit="MiB")
        cache.text = str(TRANSLATION_CACHE_MIB)
    cpu = SubElement(domain, "cpu", mode="maximum" if emulated else "host-passthrough")
    # Processors in sockets of their own share no cache: the kernel then wakes a thread on another by an interrupt.
    SubElement(cpu, "topology", sockets="1", dies="1", cores=str(spec.cpus), threads="1")
    for feature in SLOW_FEATURES if emulated else ():
        SubElement(cpu, "feature", policy="disable", name=feature)
    SubElement(domain, "clock", offset="utc")
    # What a self-booting machine has written to its root is gone when it is off, and not before.
    again = "destroy" if isinstance(spec.images, SelfBooting) else "restart"
    _texts(domain, on_poweroff="destroy", on_reboot=again, on_crash="destroy")
    _devices(SubElement(domain, "devices"), spec)
    return ET.tostring(domain, encoding="unicode")


def _boot(domain: Element, spec: DomainSpec) -> None:
    """Say where the kernel comes from, and where Ignition finds its configuration."""
    names = (IGNITION, IGNITION_OF_FLATCAR) if isinstance(spec.images, SelfBooting) else (IGNITION,)
    firmware = SubElement(domain, "sysinfo", type="fwcfg")
    for name in names:
        SubElement(firmware, "entry", name=name, file=str(spec.ignition))
    boot = SubElement(domain, "os")
    SubElement(boot, "type", arch="x86_64", machine="q35").text = "hvm"
    if isinstance(spec.images, Images):
        command_line = f"{COMMAND_LINE} {EMULATED}" if spec.kind == "qemu" else COMMAND_LINE
        _texts(boot, kernel=str(spec.images.kernel), initrd=str(spec.images.initrd), cmdline=command_line)


def _devices(devices: Element, spec: DomainSpec) -> None:
    targets = (f"vd{letter}" for letter in "abcdefgh")
    if isinstance(spec.images, SelfBooting):
        _transient_root(devices, spec.images, next(targets))
    else:
        _shared(devices, spec.images.root, "root", next(targets))
    _shared(devices, spec.images.disk, RELEASE_DISK.serial, next(targets))
    for volume in spec.volumes:
        driver = {"type": "qcow2", "discard": "unmap", **({} if volume.lasting else {"cache": "unsafe"})}
        _disk(devices, volume.path, volume.serial, next(targets), driver)
    interface = SubElement(devices, "interface", type="network")
    SubElement(interface, "source", network=spec.network)
    SubElement(interface, "model", type="virtio")
    serial_port = SubElement(devices, "serial", type="pty")
    SubElement(serial_port, "log", file=str(spec.console), append="on")
    channel = SubElement(devices, "channel", type="unix")
    SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)
    random = SubElement(devices, "rng", model="virtio")
    SubElement(random, "backend", model="random").text = "/dev/urandom"
    SubElement(devices, "memballoon", model="none")
    SubElement(devices, "controller", type="usb", model="none")


def _transient_root(devices: Element, images: SelfBooting, target: str) -> None:
    """Have libvirt put an overlay above the image at each start of the domain, and remove it at its end."""
    disk = _disk(devices, images.system, "root", target, {"type": images.format, "cache": "unsafe"})
    SubElement(disk, "boot", order="1")
    SubElement(disk, "transient", shareBacking="yes")


def _shared(devices: Element, path: Path, serial: str, target: str) -> None:
    disk = _disk(devices, path, serial, target, {"type": "raw"})
    SubElement(disk, "readonly")
    SubElement(disk, "shareable")


def _disk(devices: Element, path: Path, serial: str, target: str, driver: dict[str, str]) -> Element:
    disk = SubElement(devices, "disk", type="file", device="disk")
    SubElement(disk, "driver", {"name": "qemu", **driver})
    SubElement(disk, "source", file=str(path))
    SubElement(disk, "target", dev=target, bus="virtio")
    SubElement(disk, "serial").text = serial
    return disk


@dataclass(frozen=True)
class NetworkSpec:
    """A cluster's network as libvirt sees it. The bridge has host number ``host`` of ``network``."""

    name: str
    bridge: str
    cluster_id: str
    network: IPv4Network
    host: int = 1
    mtu: int = 1500


def network_xml(spec: NetworkSpec) -> str:
    """Return the XML of a cluster's network: a bridge whose address leads out.

    Without DHCP and DNS: machines have fixed addresses, and nothing of the hypervisor answers on the bridge.
    """
    element = Element("network")
    _texts(element, name=spec.name)
    _tag(element, spec.cluster_id, "")
    SubElement(element, "forward", mode="nat")
    SubElement(element, "bridge", name=spec.bridge, stp="off", delay="0")
    SubElement(element, "mtu", size=str(spec.mtu))
    SubElement(element, "dns", enable="no")
    SubElement(element, "ip", address=str(spec.network[spec.host]), netmask=str(spec.network.netmask))
    return ET.tostring(element, encoding="unicode")


def volume_xml(name: str, size_mib: int) -> str:
    """Return the XML of a volume that grows as it is written to."""
    volume = Element("volume")
    _texts(volume, name=name)
    SubElement(volume, "capacity", unit="MiB").text = str(size_mib)
    SubElement(SubElement(volume, "target"), "format", type="qcow2")
    return ET.tostring(volume, encoding="unicode")


def pool_xml(name: str, folder: Path) -> str:
    """Return the XML of a storage pool that is a folder."""
    pool = Element("pool", type="dir")
    _texts(pool, name=name)
    SubElement(SubElement(pool, "target"), "path").text = str(folder)
    return ET.tostring(pool, encoding="unicode")


def tag_of(xml: str) -> tuple[str, str] | None:
    """Return cluster id and machine of a domain or network; None when it isn't the provider's."""
    tag = ET.fromstring(xml).find(f"metadata/{{{NAMESPACE}}}machine")  # noqa: S314 - libvirt's own words
    return None if tag is None else (tag.get("cluster", ""), tag.get("name", ""))


def _tag(parent: Element, cluster_id: str, machine: str) -> None:
    metadata = SubElement(parent, "metadata")
    SubElement(metadata, f"{{{NAMESPACE}}}machine", cluster=cluster_id, name=machine)


def _texts(parent: Element, **texts: str) -> None:
    for tag, text in texts.items():
        SubElement(parent, tag).text = text
