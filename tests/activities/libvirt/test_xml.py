"""What libvirt is asked for. Whether it takes it is seen on real domains by the contract suite."""

import dataclasses
from ipaddress import IPv4Network
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from activities.libvirt.xml import (
    COMMAND_LINE,
    EMULATED,
    SLOW_FEATURES,
    DomainSpec,
    Images,
    NetworkSpec,
    SelfBooting,
    Volume,
    domain_xml,
    network_xml,
    tag_of,
)

SPEC = DomainSpec(
    kind="qemu",
    name="c0ffee.workers-1",
    uuid="00000000-0000-4000-8000-000000000000",
    cluster_id="c0ffee",
    machine="workers-1",
    cpus=2,
    memory_mib=2048,
    images=Images(Path("/i/root"), Path("/i/kernel"), Path("/i/initrd"), Path("/i/disk")),
    ignition=Path("/m/ignition.json"),
    console=Path("/c/console.log"),
    volumes=(Volume(Path("/v/state"), "state"), Volume(Path("/v/scratch"), "scratch", lasting=False)),
    network="g8s.c0ffee",
)

OTHER = dataclasses.replace(SPEC, images=SelfBooting(Path("/i/system"), "qcow2", Path("/i/disk")))
"""A machine with another operating system."""

NETWORK = NetworkSpec("g8s.c0ffee", "g8s0", "c0ffee", IPv4Network("10.32.7.0/24"))


def disks(spec: DomainSpec = SPEC) -> dict[str, ET.Element]:
    found = ET.fromstring(domain_xml(spec)).findall("devices/disk")
    return {disk.findtext("serial", ""): disk for disk in found}


def test_whose_a_domain_is_can_be_read_back() -> None:
    assert tag_of(domain_xml(SPEC)) == ("c0ffee", "workers-1")
    assert tag_of(network_xml(NETWORK)) == ("c0ffee", "")


def test_what_others_made_is_nobodys() -> None:
    assert tag_of("<domain><name>theirs</name></domain>") is None
    assert tag_of("<domain><metadata><x xmlns='https://example.com'/></metadata></domain>") is None


def test_images_are_shared_and_never_written_to() -> None:
    for serial, disk in disks().items():
        shared = disk.find("readonly") is not None and disk.find("shareable") is not None
        assert shared is (serial in {"root", "release"})


def test_another_operating_system_boots_by_its_own_loader_from_what_is_thrown_away() -> None:
    domain = ET.fromstring(domain_xml(OTHER))
    assert [domain.find(f"os/{name}") for name in ("kernel", "initrd", "cmdline")] == [None, None, None]
    root = disks(OTHER)["root"]
    assert root.find("boot[@order='1']") is not None
    assert root.find("transient[@shareBacking='yes']") is not None
    assert root.find("driver[@type='qcow2']") is not None
    assert root.find("readonly") is None
    assert disks(OTHER)["release"].find("readonly") is not None
    assert domain.findtext("on_reboot") == "destroy"
    assert ET.fromstring(domain_xml(SPEC)).findtext("on_reboot") == "restart"


def test_ignition_is_where_an_operating_system_looks_for_it() -> None:
    entries = {
        spec: [entry.attrib for entry in ET.fromstring(domain_xml(spec)).findall("sysinfo/entry")]
        for spec in (SPEC, OTHER)
    }
    file = str(SPEC.ignition)
    assert entries[SPEC] == [{"name": "opt/com.coreos/config", "file": file}]
    assert entries[OTHER] == [*entries[SPEC], {"name": "opt/org.flatcar-linux/config", "file": file}]


def test_only_what_a_crash_may_harm_is_written_carelessly() -> None:
    careless = {serial for serial, disk in disks().items() if disk.find("driver[@cache='unsafe']") is not None}
    assert careless == {"scratch"}


def test_disks_are_found_in_the_guest_by_serial_and_have_targets_of_their_own() -> None:
    targets = [disk.find("target") for disk in disks().values()]
    assert len({target.get("dev") for target in targets if target is not None}) == len(disks()) == 4


@pytest.mark.parametrize(
    ("kind", "cpu", "cache"), [("qemu", "maximum", "1024"), ("kvm", "host-passthrough", None)]
)
def test_emulated_and_virtualised_processors(kind: str, cpu: str, cache: str | None) -> None:
    domain = ET.fromstring(domain_xml(dataclasses.replace(SPEC, kind=kind)))
    assert domain.get("type") == kind
    assert domain.findall(f"cpu[@mode='{cpu}']")
    assert domain.findtext("features/tcg/tb-cache") == cache
    disabled = {feature.get("name") for feature in domain.findall("cpu/feature[@policy='disable']")}
    assert disabled == (set(SLOW_FEATURES) if kind == "qemu" else set())
    assert (domain.findtext("os/cmdline") or "").endswith(EMULATED) is (kind == "qemu")


def test_the_boot_by_hand_has_the_same_processor_and_command_line() -> None:
    script = (Path(__file__).parents[2] / "bench" / "bare-boot.sh").read_text().replace("\\\n", "")
    assert f"-cpu max,{','.join(f'-{feature}' for feature in SLOW_FEATURES)} " in script
    assert f'-append "{COMMAND_LINE} {EMULATED}"' in script


def test_nothing_of_the_hypervisor_answers_on_the_bridge() -> None:
    network = ET.fromstring(network_xml(NETWORK))
    assert network.findall("dns[@enable='no']")
    assert not network.findall(".//dhcp")


def test_each_hypervisor_has_an_address_of_its_own_and_the_mtu_of_all() -> None:
    network = ET.fromstring(network_xml(dataclasses.replace(NETWORK, host=3, mtu=1450)))
    assert network.findall("ip[@address='10.32.7.3']")
    assert network.findall("mtu[@size='1450']")
