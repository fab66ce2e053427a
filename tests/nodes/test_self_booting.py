"""What machines with another operating system than the node image are told beside."""

import base64
import configparser
import re
from pathlib import Path
from typing import Any

import pytest

from nodes.ignition import LAYOUT
from nodes.model import Layout
from nodes.networking import Addresses, network_manager
from nodes.render import render
from nodes.self_booting import MASKED, RELEASE_PATHS, TOOLS, with_tools
from planning.releases import load_releases
from tests.nodes.frozen import SELF_BOOTING, ignition, layout_of, make_request

RELEASE = load_releases()["1.37.2-1"]
BUILT_IN = Path(__file__).parents[2] / "deploy/node_image/files"
ADDRESSES = Addresses("10.20.7.13", 24, "10.20.7.1", 1450, ("192.0.2.53", "192.0.2.54"))


@pytest.fixture(scope="module")
def configuration() -> dict[str, Any]:
    request = make_request(RELEASE.name, SELF_BOOTING)
    return ignition(request, render(RELEASE, request, layout_of(SELF_BOOTING)), self_booting=True)


def files(configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in configuration["storage"]["files"]}


def text(part: dict[str, str]) -> str:
    return base64.b64decode(part["source"].partition("base64,")[2]).decode()


def units(configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {unit["name"]: unit for unit in configuration["systemd"]["units"]}


def test_network_manager_takes_no_file_that_others_may_read(configuration: dict[str, Any]) -> None:
    profiles = [file for path, file in files(configuration).items() if path.endswith(".nmconnection")]
    assert [file["mode"] for file in profiles] == [0o600]


def test_network_manager_is_told_what_networkd_is() -> None:
    profile = configparser.ConfigParser()
    profile.read_string(network_manager(ADDRESSES))
    assert profile["ipv4"]["address1"] == "10.20.7.13/24,10.20.7.1"
    assert profile["ipv4"]["dns"] == "192.0.2.53;192.0.2.54;"
    assert profile["ethernet"]["mtu"] == "1450"


def test_what_the_node_image_has_built_in_is_said(configuration: dict[str, Any]) -> None:
    for path in ("etc/sysctl.d/90-kubernetes.conf", "etc/modules-load.d/kubernetes.conf"):
        assert text(files(configuration)[f"/{path}"]["contents"]) == (BUILT_IN / path).read_text()


def test_the_disk_of_the_release_is_mounted_where_the_link_leads_if_it_is_one(
    configuration: dict[str, Any],
) -> None:
    table = files(configuration)["/etc/fstab"]
    assert "contents" not in table, "the operating system's own mounts would be gone"
    assert [text(part) for part in table["append"]] == ["/dev/disk/by-id/virtio-release /opt erofs ro 0 0\n"]
    assert not [name for name, unit in units(configuration).items() if "Where=/opt\n" in unit.get("contents", "")]


def test_what_is_on_the_disk_of_the_release_waits_for_it_wherever_it_is(configuration: dict[str, Any]) -> None:
    for name in ("giantnetes-boot.service", "qemu-guest-agent.service"):
        assert f"RequiresMountsFor={' '.join(RELEASE_PATHS)}" in units(configuration)[name]["contents"]


def test_units_of_the_operating_system_are_masked_and_none_of_ours(configuration: dict[str, Any]) -> None:
    masked = [name for name, unit in units(configuration).items() if unit.get("mask")]
    assert masked == list(MASKED)
    assert not [name for name in masked if "contents" in units(configuration)[name]]


def test_services_find_what_the_operating_system_lacks(configuration: dict[str, Any]) -> None:
    callers = [unit for unit in units(configuration).values() if '"PATH=' in unit.get("contents", "")]
    names = {unit["name"].removesuffix(".service") for unit in callers}
    assert names == {"containerd", "kubelet", "flannel", "felix", "kube-proxy", "keepalived"}
    for unit in callers:
        assert re.search(rf'^Environment="PATH=(/opt/bin:)?{TOOLS}:', unit["contents"], re.MULTILINE)


def test_where_nothing_is_lacking_programs_are_the_operating_systems() -> None:
    layout = Layout()
    assert layout.tool("/usr/sbin/keepalived") == "/usr/sbin/keepalived"
    assert layout.search_path("/usr/bin") == "/usr/bin"
    assert layout.environment() == {}
    assert with_tools(LAYOUT).tool("/usr/sbin/keepalived") == f"{TOOLS}/keepalived"
