"""A cluster of real virtual machines, made by the workflow and used with kubectl."""

import json
from pathlib import Path
from typing import Any

import psutil

from api.cluster import MachineSize
from contracts.machines import MachineRole
from planning.placement import takes
from planning.releases import load_releases
from tests.e2e.people import ready_nodes
from tests.libvirt.guests import Guest, in_a_room
from tests.libvirt.machines import MACHINES, SPEC
from tests.support.stack import RELEASE, say

pytestmark = in_a_room
CONTROL_PLANE, NODE = (
    MachineSize.model_validate(owner["machine"]) for owner in (SPEC["controlPlane"], SPEC["nodePools"][0])
)
_LABELS = {"app": "everywhere"}
EVERYWHERE: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "everywhere"},
    "spec": {
        "replicas": len(MACHINES),
        "selector": {"matchLabels": _LABELS},
        "template": {
            "metadata": {"labels": _LABELS},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "tolerations": [{"operator": "Exists"}],
                "affinity": {
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {"labelSelector": {"matchLabels": _LABELS}, "topologyKey": "kubernetes.io/hostname"}
                        ]
                    }
                },
                "containers": [{"name": "pause", "image": load_releases()[RELEASE].pause.reference(prefix="")}],
            },
        },
    },
}
"""A pod on each machine, put there by the scheduler."""


def test_nodes_are_ready(guest: Guest) -> None:
    nodes = ready_nodes(guest.kubeconfig)
    assert sorted(nodes) == MACHINES
    for node in nodes.values():
        info = node["status"]["nodeInfo"]
        assert info["kubeletVersion"] == "v1.37.2"
        assert info["containerRuntimeVersion"] == "containerd://2.4.2"


def test_memory_beside_a_machines_own_is_what_is_reckoned(guest: Guest) -> None:
    for machine in MACHINES:
        size = CONTROL_PLANE if machine == MACHINES[0] else NODE
        reckoned = takes(size, MachineRole.NODE, "qemu").memory_mib - size.memory_mib
        found = overhead_mib(guest.places.domain(guest.cluster_id, machine), size.memory_mib)
        say(f"{machine}: {found} MiB beside its own {size.memory_mib}, {reckoned} are kept for it")
        assert 0 < found <= reckoned


def overhead_mib(domain: str, memory_mib: int) -> int:
    """Return what the process of a domain holds in memory beside the machine's own, which is one mapping."""
    [process] = [found for found in psutil.process_iter() if f"guest={domain}," in " ".join(found.cmdline())]
    maps = process.memory_maps(grouped=False)
    [own] = [each for each in maps if each.size == memory_mib * 1024**2]
    return int(sum(each.rss for each in maps) - own.rss) // 1024**2


def test_add_ons_run(guest: Guest) -> None:
    guest.wait_for_pods("--all", "--namespace", "kube-system")


def test_a_deployment_runs_on_all_machines(guest: Guest, tmp_path: Path) -> None:
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(EVERYWHERE))
    guest.kubectl("apply", "--server-side", "--validate=ignore", "--filename", str(file))
    guest.wait_for_pods("--selector", "app=everywhere")
    pods = json.loads(guest.kubectl("get", "pods", "--selector", "app=everywhere", "--output", "json"))["items"]
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == MACHINES
    guest.kubectl("delete", "deployment", "everywhere", "--wait=false")
