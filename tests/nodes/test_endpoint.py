"""The address that three virtual machines share: who has it, and what it is held for."""

import dataclasses
import subprocess
from pathlib import Path

import pytest

from nodes.ignition import LAYOUT
from nodes.model import Layout, MachineConfig, Scope
from nodes.render import render
from nodes.v1.endpoint import endpoint_parts
from planning.releases import load_releases
from tests.nodes.conftest import Server
from tests.nodes.frozen import make_request

RELEASE = load_releases()["1.37.2-1"]
THREE = "virtual-control-plane-of-three"


def config(case: str) -> MachineConfig:
    return render(RELEASE, make_request(RELEASE.name, case), LAYOUT)


@pytest.mark.parametrize("case", ["control-plane-of-three", "virtual-control-plane", "virtual-node"])
def test_others_hold_no_address(case: str) -> None:
    assert "keepalived" not in [service.name for service in config(case).services]


def test_a_machine_of_three_speaks_to_the_others_and_takes_connections_to_the_address() -> None:
    machine = config(THREE)
    [kept] = [file.content for file in machine.files if file.path.endswith("keepalived.conf")]
    assert machine.address == "10.20.7.13"
    assert "unicast_peer {\n        10.20.7.11\n        10.20.7.12\n    }" in kept
    assert "virtual_ipaddress {\n        10.20.7.10/32\n    }" in kept
    [server] = [service for service in machine.services if service.name == "kube-apiserver"]
    assert "--bind-address=0.0.0.0" in server.argv
    assert "--advertise-address=10.20.7.13" in server.argv


@pytest.mark.parametrize("trouble", ["none", "a CA that is not its own", "nobody listens"])
def test_the_address_is_held_while_the_api_server_is_ready(
    server: Server, authority_file: Path, tmp_path: Path, trouble: str
) -> None:
    script = _check(server.server_port if trouble != "nobody listens" else 1, authority_file)
    if trouble == "a CA that is not its own":
        authority_file.write_text((tmp_path / "pair.pem").read_text())
    statuses = [subprocess.run(["bash", "-c", script], timeout=20, check=False).returncode for _ in range(3)]
    assert statuses == ([1, 1, 0] if trouble == "none" else [1, 1, 1])


def _check(port: int, authority: Path) -> str:
    """Return the question that keepalived asks, put to a server here."""

    class Here(Layout):
        def certificate(self, name: str) -> str:
            assert name == "kubernetes-ca"
            return str(authority)

    request = make_request(RELEASE.name, THREE)
    files = endpoint_parts(Scope(RELEASE, request, Here(**dataclasses.asdict(LAYOUT)))).files
    [script] = [file.content for file in files if file.path.endswith(".sh")]
    return script.replace("10.20.7.13:6443", f"127.0.0.1:{port}")
