"""The cluster that tests and benches make of virtual machines: one control plane machine and one node.

Few processors: emulated ones that far outnumber the real ones wait for each other's locks.
"""

from typing import Any

SPEC: dict[str, Any] = {
    "provider": "libvirt",
    "controlPlane": {"machine": {"cpus": 2, "memoryMiB": 2048}},
    "nodePools": [{"name": "workers", "replicas": 1, "machine": {"cpus": 1, "memoryMiB": 2048}}],
}
