"""The provider's own firewall, where hypervisors have peers. What it keeps machines from is seen on real ones."""

from collections.abc import Iterator

import pytest

from activities.libvirt.commands import run
from activities.libvirt.firewall import load_firewall, rules
from api.errors import ErrorCode
from contracts.errors import StepError
from tests.activities.libvirt.sites import Host, inside, passes, set_ipv4, site, with_namespaces


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    with site(3) as made:
        yield made


def guard(host: Host, *peers: Host) -> None:
    inside(host.space, lambda: load_firewall(rules(["198.51.100.0/24"], [peer.address for peer in peers])))


def test_machines_never_send_vxlan_whether_there_are_peers_or_not() -> None:
    """It would leave with the hypervisor's address, and be taken for that of a peer by who lists it as one."""
    for peers in ([], ["192.0.2.2"]):
        assert 'iifname "g8s*" udp dport 4789 drop' in rules(["198.51.100.0/24"], peers)


@with_namespaces
def test_only_peers_reach_machines(hosts: list[Host]) -> None:
    one, two, stranger = hosts
    one.join(two)
    two.join(one)
    stranger.join(one)  # it names the hypervisor, which doesn't name it
    assert stranger.reaches(one)
    for _ in range(2):
        guard(one, two)
    assert not stranger.reaches(one)
    assert two.reaches(one)
    guard(one, two, stranger)
    assert stranger.reaches(one)


@with_namespaces
def test_machines_do_not_pass_for_their_hypervisor(hosts: list[Host]) -> None:
    one, two, outside = hosts
    forward = "add table ip nat; add chain ip nat out { type nat hook postrouting priority srcnat; }"
    masquerade = "add rule ip nat out oifname eth0 masquerade"
    set_ipv4(one.space, "ip_forward", 1)
    inside(one.space, lambda: run("nft", f"{forward}; {masquerade}"))
    assert passes(one.machine, two.space, two.address)
    guard(one, two)
    assert not passes(one.machine, two.space, two.address)
    assert passes(one.machine, outside.space, outside.address)


@with_namespaces
def test_what_nft_refuses_is_told(hosts: list[Host]) -> None:
    with pytest.raises(StepError, match=r"(?s)nft --file -` is refused: .*nonsense") as raised:
        inside(hosts[0].space, lambda: load_firewall(rules(["nonsense/99"])))
    assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE
