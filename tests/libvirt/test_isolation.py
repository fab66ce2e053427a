"""Where machines and pods don't get: the hypervisor, its management network, other clusters. By trying."""

import contextlib
import json
import secrets
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Network
from typing import Any

import pytest

from activities.libvirt.xml import NetworkSpec, network_xml
from tests.libvirt.guests import Guest, in_a_room
from tests.libvirt.machines import MACHINES
from tests.libvirt.pods import Pods, client

pytestmark = in_a_room
MANAGEMENT, OUTSIDE = "192.0.2.1", "198.51.100.1"
"""Addresses of the hypervisor: one in a management network, and one that stands for the world outside."""

OTHER_NETWORK = IPv4Network("10.63.254.0/24")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextlib.contextmanager
def listening(address: str) -> Iterator[int]:
    """Listen on an address of the hypervisor; give the port."""
    with socket.create_server((address, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def pods(guest: Guest) -> Pods:
    return Pods(guest.cluster_id, guest.hypervisor, guest.places)


@pytest.fixture(scope="module")
def gateway(guest: Guest) -> str:
    found = guest.kubectl("get", "nodes", "--output", "jsonpath={.items[0].status.addresses[0].address}")
    return ".".join([*found.split(".")[:3], "1"])


@pytest.fixture(scope="module")
def outside() -> Iterator[str]:
    """A network namespace that the hypervisor routes to: the world outside, and a management network."""
    name = f"g8s-{secrets.token_hex(3)}"
    ip("netns", "add", name)
    try:
        ip("link", "add", "outside0", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("address", "add", "203.0.113.1/24", "dev", "outside0")
        ip("link", "set", "outside0", "up")
        for address in ("203.0.113.2/24", f"{MANAGEMENT}/32", f"{OUTSIDE}/32"):
            ip("-netns", name, "address", "add", address, "dev", "eth0")
        for device in ("eth0", "lo"):
            ip("-netns", name, "link", "set", device, "up")
        for address in (MANAGEMENT, OUTSIDE):
            ip("route", "add", address, "via", "203.0.113.2")
        yield name
    finally:
        ip("netns", "delete", name)


@pytest.fixture(scope="module")
def inmate(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A pod."""
    file = tmp_path_factory.mktemp("objects") / "pod.json"
    file.write_text(json.dumps(client("inmate", MACHINES[-1])))
    guest.kubectl("apply", "--server-side", "--validate=ignore", "--filename", str(file))
    guest.wait_for_pods("inmate")
    return dict(json.loads(guest.kubectl("get", "pod", "inmate", "--output", "json")))


def test_machines_and_pods_reach_the_world_and_not_the_management_network(
    pods: Pods, inmate: dict[str, Any], outside: str
) -> None:
    server = ["ip", "netns", "exec", outside, "python3", "-m", "http.server", "8000"]
    with subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            machine, pod = (
                {address: connects(address, 8000) for address in (OUTSIDE, MANAGEMENT)}
                for connects in (partial(pods.machine_connects, MACHINES[-1]), partial(pods.connects, inmate))
            )
        finally:
            process.terminate()
    assert machine == pod == {OUTSIDE: True, MANAGEMENT: False}


def test_machines_and_pods_do_not_reach_the_hypervisor(pods: Pods, inmate: dict[str, Any], gateway: str) -> None:
    for address in (gateway, "203.0.113.1"):
        with listening(address) as port:
            assert not pods.machine_connects(MACHINES[-1], address, port)
            assert not pods.connects(inmate, address, port)


def test_other_clusters_do_not_reach_machines(guest: Guest, pods: Pods, gateway: str) -> None:
    other, name = f"t{secrets.token_hex(4)}", f"g8s-{secrets.token_hex(3)}"
    bridge = guest.places.bridge(other)
    spec = NetworkSpec(guest.places.network(other), bridge, other, OTHER_NETWORK)
    guest.hypervisor.ensure_network(spec.name, network_xml(spec))
    ip("netns", "add", name)
    try:
        ip("link", "add", "other0", "master", bridge, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", "other0", "up")
        ip("-netns", name, "address", "add", f"{OTHER_NETWORK[20]}/24", "dev", "eth0")
        ip("-netns", name, "link", "set", "eth0", "up")
        ip("-netns", name, "route", "add", "default", "via", str(OTHER_NETWORK[1]))
        machine = gateway.rpartition(".")[0] + ".11"
        connect = f"import socket; socket.create_connection(({machine!r}, 6443), timeout=5)"
        done = subprocess.run(["ip", "netns", "exec", name, "python3", "-c", connect], check=False)
        assert done.returncode
        with_server = ["ip", "netns", "exec", name, "python3", "-m", "http.server", "8000"]
        with subprocess.Popen(with_server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                assert not pods.machine_connects(MACHINES[-1], str(OTHER_NETWORK[20]), 8000)
            finally:
                server.terminate()
    finally:
        ip("netns", "delete", name)
        guest.hypervisor.remove_network(guest.places.network(other))
