"""What machines are set up with, seen on running ones."""

from pathlib import Path

import pytest
import requests

from nodes.ignition import LAYOUT
from tests.e2e.people import internal_address, ready_nodes
from tests.libvirt.guests import Guest, in_a_room
from tests.libvirt.machines import MACHINES
from tests.libvirt.pods import Pods

pytestmark = in_a_room
SYSCTLS = Path(__file__).parents[2] / "deploy/node_image/files/etc/sysctl.d/90-kubernetes.conf"
KUBELET_PORT = 10250


@pytest.fixture(scope="module")
def pods(guest: Guest) -> Pods:
    return Pods(guest.cluster_id, guest.hypervisor, guest.places)


def settings() -> dict[str, str]:
    """Return what the kernel is to be set to."""
    lines = (line.partition("=") for line in SYSCTLS.read_text().splitlines() if "=" in line and line[0] != "#")
    return {name.strip(): value.strip() for name, _, value in lines}


@pytest.mark.parametrize("machine", MACHINES)
def test_nobody_logs_in(pods: Pods, machine: str) -> None:
    assert pods.on_machine(machine, "passwd --status root").split()[:2] == ["root", "L"]
    assert pods.on_machine(machine, "getent shadow | cut -d: -f2 | grep -v '^[!*]' || true") == ""
    assert pods.on_machine(machine, "ss -Hltn 'sport = :22'; ls /usr/sbin/sshd 2>/dev/null || true") == ""


@pytest.mark.parametrize("machine", MACHINES)
def test_the_kernel_is_set_as_is_written_down(pods: Pods, machine: str) -> None:
    files = [f"/proc/sys/{name.replace('.', '/')}" for name in settings()]
    found = pods.on_machine(machine, f"cat {' '.join(files)}").splitlines()
    assert dict(zip(settings(), found, strict=True)) == settings()


@pytest.mark.parametrize("machine", MACHINES)
def test_changes_by_hand_are_written_down_where_a_boot_leaves_them(pods: Pods, machine: str) -> None:
    assert pods.on_machine(machine, "systemctl is-active auditd chrony").split() == ["active", "active"]
    assert "enabled 2" in pods.on_machine(machine, "auditctl -s")
    pods.on_machine(machine, "touch /etc/changed-by-hand")
    log = f"{LAYOUT.logs}/audit/audit.log"
    assert "/etc/changed-by-hand" in pods.on_machine(machine, f"ausearch --input {log} --key changed-by-hand")


def test_kubelets_answer_nobody_without_a_certificate(guest: Guest) -> None:
    for node in ready_nodes(guest.kubeconfig).values():
        url = f"https://{internal_address(node)}:{KUBELET_PORT}/pods"
        with pytest.warns(Warning, match="Unverified HTTPS request"):
            answer = requests.get(url, verify=False, timeout=20)  # noqa: S501 - whoever it is, it is to refuse
        assert answer.status_code == 401
