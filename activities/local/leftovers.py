"""Looking for whatever exists of clusters: on the disk, in the supervisor, and as processes."""

import contextlib

from activities.local.folders import ENDPOINT, Folders
from activities.local.power import Power
from activities.local.supervisor import SupervisorDownError
from contracts.machines import Leftover
from nodes.machine.processes import find_marked


def find_leftovers(folders: Folders, power: Power, cluster_id: str) -> list[Leftover]:
    """Return what exists of one cluster, or of all for an empty id.

    A supervisor that is down runs nothing, and what it would start again has an include file.
    """
    clusters = {cluster_id} if cluster_id else set(folders.cluster_ids())
    machines = {(found, name) for found in clusters for name in folders.names(found)}
    with contextlib.suppress(SupervisorDownError):
        machines |= power.on_now(cluster_id)
    volumes = ((found, slot) for found in clusters for slot in folders.slots(found))
    marked = ((folder.parent.name, folder.name) for folder, _ in find_marked(folders.machines))
    running = {(found, name) for found, name in marked if cluster_id in {"", found}}
    return [
        *(_leftover(_kind(name), found, name) for found, name in sorted(machines)),
        *(_leftover("volume", found, slot) for found, slot in sorted(volumes)),
        *(_leftover("processes", found, name) for found, name in sorted(running)),
    ]


def _kind(name: str) -> str:
    return "endpoint" if name == ENDPOINT else "machine"


def _leftover(kind: str, cluster_id: str, name: str) -> Leftover:
    return Leftover(kind=kind, name=name, cluster_id=cluster_id)
