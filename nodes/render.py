"""From a release and a request to all of a machine. Pure."""

from collections.abc import Callable, Mapping

from api.release import Release
from contracts.machines import MachineRequest, MachineRole
from nodes.model import Layout, MachineConfig, Scope
from nodes.v1.control_plane import control_plane
from nodes.v1.node import node

TEMPLATES: Mapping[str, Mapping[MachineRole, Callable[[Scope], MachineConfig]]] = {
    "v1": {MachineRole.CONTROL_PLANE: control_plane, MachineRole.NODE: node}
}
"""By the version that a release names, and the role."""


def render(release: Release, request: MachineRequest, layout: Layout) -> MachineConfig:
    """Return what the requested machine is made of, with the files where ``layout`` has them."""
    return TEMPLATES[release.node_templates][request.machine.role](Scope(release, request, layout))
