"""Machines with another operating system than the node image, which a release names by URL and digest.

Neither Flatcar nor Fedora CoreOS is tried, but a stand-in that says what it is (``tests.libvirt.stand_in``).
"""

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from activities.kubernetes.client import KubernetesClient
from api.release import MachineImages, Release
from contracts.certificates import held_by
from contracts.machines import MachineState, Provider
from nodes.self_booting import RELEASE_PATHS, TOOLS
from planning.releases import load_releases
from tests.contract.clusters import RELEASE, TestCluster, wait_for
from tests.contract.rooms import new_cluster
from tests.libvirt.guests import in_a_room
from tests.libvirt.reboot import reboot
from tests.libvirt.stand_in import GRUB, make_stand_in
from tests.libvirt.test_releases import started
from tests.support.stack import say

if TYPE_CHECKING:  # the package libvirt is an extra
    from tests.libvirt.rooms import LibvirtRoom

pytestmark = [*in_a_room, pytest.mark.skipif(not GRUB.exists(), reason="needs Debian's package grub-pc-bin")]
READY_SECONDS = 300
LINKED, PLAIN = "linked", "plain"
"""What ``/opt`` is: a link as on Fedora CoreOS, or a folder as on Flatcar."""


@pytest.fixture(scope="module")
def room() -> "Iterator[LibvirtRoom]":
    from tests.libvirt.rooms import libvirt_room  # noqa: PLC0415

    with libvirt_room() as made:
        yield made


@pytest.fixture(scope="module")
def site(room: "LibvirtRoom") -> Iterator[str]:
    """Where the folder ``published`` of the room can be downloaded from."""
    folder = room.folder / "published"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def provider(
    room: "LibvirtRoom", site: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Provider:
    """A provider for which the release has a stand-in, linked or not, instead of the node image."""
    from activities.libvirt.provider import LibvirtProvider, Settings  # noqa: PLC0415
    from tests.libvirt.rooms import URI, images  # noqa: PLC0415

    own = load_releases()[RELEASE]
    files, name = images(own), f"{request.param}.qcow2"
    image = room.folder / "published" / name
    make_stand_in(image, files, linked=request.param == LINKED)
    with image.open("rb") as file:
        system = {"url": f"{site}/{name}", "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    named = {"recipe": "0" * 16, "disk": own.machine_images.disk, "system": system}
    other: Release = own.model_copy(update={"machine_images": MachineImages.model_validate(named)})
    monkeypatch.setitem(load_releases(), RELEASE, other)
    return LibvirtProvider(Settings(room.folder, URI, "qemu"), lambda _: {"disk": files["disk"]})


def overlays(room: "LibvirtRoom") -> list[Path]:
    return list(room.places.images.glob("*.TRANSIENT-*"))


@pytest.mark.parametrize("provider", [LINKED], indirect=True)
def test_a_machine_boots_asks_and_forgets_what_was_changed_by_hand(
    room: "LibvirtRoom", provider: Provider
) -> None:
    with new_cluster(room) as cluster:
        node = cluster.nodes[0]
        booted = cluster.boot(provider, node)
        assert booted.requests.keys() == {held.name for held in held_by(node.role, cluster.spec.provider)}
        runs_what_it_lacks(room, cluster, node.name)
        is_set_up(room, cluster, node.name)
        [overlay] = overlays(room)

        room.write_root(cluster, node.name, "by-hand")
        reboot(room.folder)  # of the hypervisor, whose power is lost, and where nobody then asks for anything
        cluster.await_state(provider, node, MachineState.UP)
        assert cluster.requests(provider, node) == booted
        assert not room.has_root(cluster, node.name, "by-hand")

        room.write_root(cluster, node.name, "by-hand")
        room.run(cluster, node.name, "systemctl reboot")
        cluster.await_state(provider, node, MachineState.STOPPED)
        assert overlays(room) == []
        overlay.touch()  # as a loss of power leaves it, where the firewall isn't a service
        assert not cluster.ensure(provider, node).created
        cluster.await_state(provider, node, MachineState.UP)
        assert cluster.requests(provider, node) == booted
        assert not room.has_root(cluster, node.name, "by-hand")
    assert overlays(room) == []


def runs_what_it_lacks(room: "LibvirtRoom", cluster: TestCluster, machine: str) -> None:
    """See that programs of the disk of the release run, with libraries of that disk alone."""
    names = "python3 python3.11 qemu-ga nft iptables keepalived openssl"
    assert room.run(cluster, machine, f"for name in {names}; do command -v $name; done") == ""
    maps = room.run(cluster, machine, "grep --only-matching '/[^ ]*[.]so[^ ]*' /proc/$PPID/maps | sort -u")
    assert maps
    assert {line.split("/debian/")[0] for line in maps.splitlines()} <= set(RELEASE_PATHS), maps
    rule = "iptables --append INPUT --match comment --comment tried --jump ACCEPT"
    assert "/* tried */" in room.run(cluster, machine, f"PATH={TOOLS}; {rule} && iptables --list INPUT")
    for command in ("nft --version", "ipset --version", "conntrack --version", "openssl version"):
        assert room.run(cluster, machine, f"{TOOLS}/{command}"), command
    assert "Keepalived" in room.run(cluster, machine, f"{TOOLS}/keepalived --version 2>&1")


def is_set_up(room: "LibvirtRoom", cluster: TestCluster, machine: str) -> None:
    """See that what the node image has built in is there."""
    read = "cd /proc/sys/net && cat ipv4/ip_forward bridge/bridge-nf-call-iptables ipv6/conf/eth0/disable_ipv6"
    assert room.run(cluster, machine, read).split() == ["1", "1", "1"]
    assert room.run(cluster, machine, "systemctl is-enabled sshd.service").strip() == "masked"
    assert room.run(cluster, machine, "findmnt --noheadings --output TARGET,FSTYPE /var/opt").split() == [
        "/var/opt",
        "erofs",
    ]


@pytest.mark.parametrize("provider", [PLAIN], indirect=True)
def test_one_becomes_a_node_that_is_ready(room: "LibvirtRoom", provider: Provider) -> None:
    with new_cluster(room, node_pools=[]) as cluster, started(cluster, provider, cluster.slots[0]) as api:
        seconds = wait_for(lambda: is_ready(api, cluster.slots[0].name), "the node is Ready", READY_SECONDS)
        say(f"Ready {seconds:.1f} s after its API")


def is_ready(api: KubernetesClient, node: str) -> bool:
    """Whether a node is there, and its kubelet says that pods can run on it."""
    found = api.ask("GET", f"/api/v1/nodes/{node}")
    conditions = json.loads(found.body)["status"]["conditions"] if found.status == 200 else []
    return "True" in [each["status"] for each in conditions if each["type"] == "Ready"]
