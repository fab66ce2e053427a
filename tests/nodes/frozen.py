"""Frozen output of the node templates: what each release makes of typical machines.

``python -m tests.nodes.frozen`` writes the files anew. A difference for a published release means that its
clusters would no longer be what they were: make a new version of the templates, and a release that names it.
"""

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import yaml

from api.cluster import ClusterSpec
from api.release import Release
from contracts.context import ClusterContext
from contracts.machines import MachinePlan, MachineRequest
from nodes.document import Identity
from nodes.ignition import LAYOUT, disks_of, render_ignition
from nodes.model import Layout, MachineConfig
from nodes.networking import Addresses
from nodes.render import render
from nodes.self_booting import with_tools
from planning.create import BALANCED_ENDPOINT_HOST, CONTROL_PLANE, FIRST_SLOT_HOST, machine_groups
from planning.releases import load_releases

FOLDER = Path(__file__).parent / "golden"

_OIDC = {
    "issuer_url": "https://login.example.com",
    "client_id": "kubernetes",
    "username_claim": "email",
    "groups_claim": "roles",
}
_API_SERVER = {
    "feature_gates": {"MutatingAdmissionPolicy": True, "InPlacePodVerticalScaling": False},
    "oidc": _OIDC,
    "audit": {"level": "Request", "max_age_days": 30, "max_size_mib": 100},
}
_POOL = {
    "name": "gpu",
    "replicas": 2,
    "labels": {"example.com/tier": "batch"},
    "taints": [
        {"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"},
        {"key": "x", "effect": "NoExecute"},
    ],
    "machine": {"cpus": 8, "memory_mib": 16384},
}

CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "control-plane": ({}, CONTROL_PLANE, "127.64.7.0/24"),
    "control-plane-of-three": ({"control_plane": {"replicas": 3}}, CONTROL_PLANE, "127.64.7.0/24"),
    "control-plane-with-options": ({"api_server": _API_SERVER}, CONTROL_PLANE, "10.20.7.0/24"),
    "node": ({"node_pools": [{"name": "workers"}]}, "workers", "127.64.7.0/24"),
    "node-with-labels-and-taints": (
        {"control_plane": {"replicas": 3}, "node_pools": [_POOL]},
        "gpu",
        "127.64.7.0/24",
    ),
    "virtual-control-plane": ({"provider": "libvirt"}, CONTROL_PLANE, "10.20.7.0/24"),
    "virtual-control-plane-of-three": (
        {"provider": "libvirt", "control_plane": {"replicas": 3}},
        CONTROL_PLANE,
        "10.20.7.0/24",
    ),
    "virtual-node": ({"provider": "libvirt", "node_pools": [_POOL]}, "gpu", "10.20.7.0/24"),
    "virtual-self-booting": (
        {"provider": "libvirt", "control_plane": {"replicas": 3}},
        CONTROL_PLANE,
        "10.20.7.0/24",
    ),
}
"""Spec, group and machine network by name; the last machine of the group is rendered."""

SELF_BOOTING = "virtual-self-booting"
"""The one with another operating system than the node image."""


def rendered(release: Release, case: str) -> str:
    """Return the golden file of a case."""
    request = make_request(release.name, case)
    config = render(release, request, layout_of(case))
    if case.startswith("virtual"):
        document = ignition(request, config, self_booting=case == SELF_BOOTING)
        return yaml.dump(_decoded(document), Dumper=_Dumper, sort_keys=False)
    return yaml.dump(_plain(dataclasses.asdict(config)), Dumper=_Dumper, sort_keys=False)


def layout_of(case: str) -> Layout:
    """Return where things are on the machine of a case."""
    if case == SELF_BOOTING:
        return with_tools(LAYOUT)
    return LAYOUT if case.startswith("virtual") else Layout()


def ignition(request: MachineRequest, config: MachineConfig, *, self_booting: bool = False) -> dict[str, Any]:
    """Return the Ignition configuration of a virtual machine."""
    identity = Identity(name=request.machine.name, instance_id="00000000-0000-4000-8000-000000000000")
    addresses = Addresses(config.address, 24, request.cluster.address(1), 1500, ("192.0.2.53",))
    document: dict[str, Any] = json.loads(
        render_ignition(identity, config, addresses, disks_of(request.machine.role), self_booting=self_booting)
    )
    return document


def _decoded(document: dict[str, Any]) -> dict[str, Any]:
    """Return an Ignition configuration with its files as text, and the machine's document as data."""
    for file in document["storage"]["files"]:
        (part,) = [file["contents"]] if "contents" in file else file["append"]
        text = base64.b64decode(part["source"].partition("base64,")[2]).decode()
        file["contents" if "contents" in file else "append"] = (
            json.loads(text) if file["path"].endswith(".json") else text
        )
    return document


def make_request(release: str, case: str) -> MachineRequest:
    """Return the request of a case."""
    options, group, network = CASES[case]
    spec = ClusterSpec.model_validate({"provider": "local", "owner": "acme", "release": release, **options})
    groups = machine_groups(spec)
    slots, machine = groups[CONTROL_PLANE], groups[group][-1]
    cluster = _cluster(spec, network, slots)
    return MachineRequest(cluster=cluster, machine=machine, slots=slots)


def _cluster(spec: ClusterSpec, network: str, slots: list[MachinePlan]) -> ClusterContext:
    return ClusterContext(
        cluster_id="c0ffee",
        namespace="default",
        name="demo",
        spec=spec,
        machine_network=network,
        endpoint_host=BALANCED_ENDPOINT_HOST if len(slots) > 1 else FIRST_SLOT_HOST,
    )


def _plain(value: Any) -> Any:
    """Return tuples as lists, so that the file has no Python in it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, to be read and compared by line."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def main() -> None:
    """Write all golden files anew."""
    for release in load_releases().values():
        folder = FOLDER / release.name
        folder.mkdir(parents=True, exist_ok=True)
        for case in CASES:
            (folder / f"{case}.yaml").write_text(rendered(release, case))


if __name__ == "__main__":
    main()
