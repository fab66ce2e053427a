"""Bridges of hypervisors joined by the real kernel, and what gets through."""

import dataclasses
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.libvirt.commands import run
from activities.libvirt.overlay import OVERHEAD, ensure_overlay, overlay_mtu, overlays, remove_overlay
from api.errors import ErrorCode
from contracts.errors import StepError
from tests.activities.libvirt.sites import (
    BRIDGE,
    DEVICE,
    MTU,
    VNI,
    Host,
    inside,
    ip,
    make_bridge,
    site,
    with_namespaces,
)

pytestmark = with_namespaces


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    with site(3) as made:
        yield made


def device(host: Host) -> dict[str, Any]:
    text = inside(host.space, lambda: run("ip", "-json", "link", "show", "dev", DEVICE))
    return dict(json.loads(text)[0])


def places(host: Host) -> dict[str, list[str]]:
    """Return the hypervisors that each MAC address may be at."""
    text = inside(host.space, lambda: run("bridge", "-json", "fdb", "show", "dev", DEVICE))
    found: dict[str, list[str]] = {}
    for entry in json.loads(text):
        if "dst" in entry:
            found.setdefault(entry["mac"], []).append(entry["dst"])
    return found


def flooded(host: Host) -> list[str]:
    return sorted(places(host).get("00:00:00:00:00:00", []))


def fragments(host: Host) -> int:
    """Return how many fragments a hypervisor has made."""
    text = inside(host.space, Path("/proc/thread-self/net/snmp").read_text)
    names, values = (line.split() for line in text.splitlines() if line.startswith("Ip:"))
    return int(dict(zip(names, values, strict=True))["FragCreates"])


def test_machines_of_joined_hypervisors_reach_each_other(hosts: list[Host]) -> None:
    for host in hosts:
        assert not host.reaches(hosts[host is hosts[0]])
        host.join(*(peer for peer in hosts if peer is not host))
    for host in hosts:
        for other in hosts:
            assert host is other or host.reaches(other)


def test_a_full_packet_passes_whole_and_a_longer_one_does_not(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.join(two)
    two.join(one)
    assert inside(one.space, lambda: overlay_mtu(one.address)) == MTU
    assert device(one)["mtu"] == MTU
    assert one.reaches(two, MTU)
    assert fragments(one) == 0
    with pytest.raises(OSError, match=os.strerror(errno.EMSGSIZE)):
        one.reaches(two, MTU + 1)
    ip(one.machine, "link set dev eth0 mtu 1500")  # a machine that was configured for another network
    assert not one.reaches(two, MTU + 1)
    assert one.reaches(two, MTU)


def test_machines_have_what_the_underlay_leaves(hosts: list[Host]) -> None:
    one, two, _ = hosts
    for host in (one, two):
        ip(host.space, "link set dev eth0 mtu 1400")
    one.join(two)
    two.join(one)
    assert device(one)["mtu"] == 1400 - OVERHEAD
    assert one.reaches(two, 1400 - OVERHEAD)
    assert fragments(one) == 0
    ip(one.space, "link set dev eth0 mtu 9000")
    one.join(two)
    assert device(one)["mtu"] == 1500


def test_an_address_of_no_device_has_no_mtu(hosts: list[Host]) -> None:
    one, two, _ = hosts
    for call in (lambda: overlay_mtu(two.address), lambda: ensure_overlay(two.overlay(one))):
        with pytest.raises(StepError, match=two.address) as raised:
            inside(one.space, call)
        assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert inside(one.space, overlays) == []


def test_another_cluster_is_not_reached(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.join(two)
    two.join(one, vni=VNI + 1)
    assert not one.reaches(two)
    assert not two.reaches(one)
    two.join(one)
    assert one.reaches(two)


def test_who_is_no_peer_is_not_reached(hosts: list[Host]) -> None:
    one, two, three = hosts
    one.join(two)
    two.join(one)
    three.join()
    assert one.reaches(two)
    assert not one.reaches(three)
    assert not three.reaches(one)


def test_what_is_right_stays_untouched(hosts: list[Host]) -> None:
    one, two, three = hosts
    one.join(two, three)
    two.join(one)
    assert one.reaches(two)
    made, known = device(one), places(one)
    one.join(three, two)
    assert device(one) == made
    assert known.items() <= places(one).items()  # others may have been learned meanwhile


def test_packets_go_to_todays_peers_only(hosts: list[Host]) -> None:
    one, two, three = hosts
    one.join(two)
    two.join(one)
    assert one.reaches(two)
    assert two.reaches(one)
    assert len(places(one)) > 1, "where the other machine is was not learned"
    number = device(one)["ifindex"]
    two.join()  # else it would make itself known again
    one.join(three)
    assert places(one) == {"00:00:00:00:00:00": [three.address]}
    assert not one.reaches(two)
    two.join(one)
    one.join(two, three)
    assert flooded(one) == [two.address, three.address]
    assert one.reaches(two)
    one.join()
    assert flooded(one) == []
    assert device(one)["ifindex"] == number


@pytest.mark.parametrize("other", [f"id {VNI + 1} dstport 4789", f"id {VNI} dstport 8472"])
def test_a_device_of_another_network_is_made_anew(hosts: list[Host], other: str) -> None:
    one, two, _ = hosts
    ip(one.space, f"link add name {DEVICE} type vxlan local {one.address} {other}")
    two.join(one)
    one.join(two)
    assert one.reaches(two)


def test_a_device_follows_the_hypervisors_address(hosts: list[Host]) -> None:
    one, two, _ = hosts
    two.join(one)
    ip(one.space, f"address delete {one.address}/24 dev eth0\naddress add 192.0.2.101/24 dev eth0")
    moved = dataclasses.replace(one, address="192.0.2.101")
    two.join(moved)
    moved.join(two)
    assert moved.reaches(two)


def test_a_bridge_that_was_made_anew_is_joined_again(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.join(two)
    two.join(one)
    ip(one.space, f"link delete dev {BRIDGE}")
    make_bridge(one)
    assert not one.reaches(two)
    one.join(two)
    assert one.reaches(two)


def test_nothing_is_left_of_a_removed_overlay(hosts: list[Host]) -> None:
    one, two, _ = hosts
    ip(one.space, f"link add name theirs type vxlan id {VNI + 1} local {one.address} dstport 4789")
    one.join(two)
    two.join(one)
    assert inside(one.space, overlays) == [DEVICE]
    for _ in range(2):
        inside(one.space, lambda: remove_overlay(DEVICE))
        assert inside(one.space, overlays) == []
    assert not one.reaches(two)


def test_what_the_kernel_refuses_is_told(hosts: list[Host]) -> None:
    one, two, _ = hosts
    one.join(two)
    second = dataclasses.replace(one.overlay(two), device="g8sx1")
    with pytest.raises(StepError, match=r"ip link add name g8sx1 .* is refused: .*VNI") as raised:
        inside(one.space, lambda: ensure_overlay(second))
    assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE


def test_a_bridge_that_is_missing_is_told(hosts: list[Host]) -> None:
    one, two, _ = hosts
    ip(one.space, f"link delete dev {BRIDGE}")
    with pytest.raises(StepError, match=BRIDGE):
        one.join(two)
