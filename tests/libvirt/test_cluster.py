"""A cluster of real virtual machines, made by the workflow and used with kubectl."""

from tests.e2e.people import ready_nodes
from tests.libvirt.guests import Guest, in_a_room
from tests.libvirt.machines import MACHINES

pytestmark = in_a_room


def test_nodes_are_ready(guest: Guest) -> None:
    nodes = ready_nodes(guest.kubeconfig)
    assert sorted(nodes) == MACHINES
    for node in nodes.values():
        info = node["status"]["nodeInfo"]
        assert info["kubeletVersion"] == "v1.37.2"
        assert info["containerRuntimeVersion"] == "containerd://2.4.2"


def test_add_ons_run(guest: Guest) -> None:
    guest.wait_for_pods("--all", "--namespace", "kube-system")
