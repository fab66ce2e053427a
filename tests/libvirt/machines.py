"""The cluster that tests and benches make of virtual machines: one control plane machine and one node.

``G8S_NODES`` is how many nodes there are beside the control plane machine, which is one itself. Where two real
processors emulate those of all, 0 takes a third of the time.
"""

import os
from typing import Any

NODES = int(os.environ.get("G8S_NODES", "1"))
HTTP_PORT = 30080
SPEC: dict[str, Any] = {
    "provider": "libvirt",
    "controlPlane": {"machine": {"cpus": 2, "memoryMiB": 3072}},
    "ingress": {"version": "3.7.15", "config": {"replicas": 1, "httpNodePort": HTTP_PORT}},
    "nodePools": [{"name": "workers", "replicas": NODES, "machine": {"cpus": 1, "memoryMiB": 2048}}],
}
MACHINES = ["control-plane-1", *(f"workers-{number + 1}" for number in range(NODES))]
"""All machines, each of which is a node."""
