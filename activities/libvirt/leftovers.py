"""Looking for whatever exists of clusters on a hypervisor."""

from collections.abc import Iterator

from activities.libvirt.hypervisor import Hypervisor
from activities.libvirt.networks import Networks
from activities.libvirt.places import ETCD, Places, owner_of
from contracts.machines import Leftover


def find_leftovers(places: Places, hypervisor: Hypervisor, networks: Networks, cluster_id: str) -> list[Leftover]:
    """Return what exists of one cluster, or of all for an empty id.

    A volume that belongs to a machine is no item of its own while there is the machine.
    """
    machines = {*hypervisor.domains(), *_documented(places)}
    volumes = [owner for owner in map(owner_of, hypervisor.volume_names()) if owner]
    found = [
        *(("machine", owner, name) for owner, name in machines),
        *(("volume", owner, name) for owner, name, kind in volumes if kind == ETCD),
        *(
            ("volume", owner, f"{name}.{kind}")
            for owner, name, kind in volumes
            if _orphaned(owner, name, kind, machines)
        ),
        *networks.found(),
    ]
    return [
        Leftover(kind=kind, name=name, cluster_id=owner)
        for kind, owner, name in sorted(found)
        if cluster_id in {"", owner}
    ]


def _orphaned(cluster_id: str, machine: str, kind: str, machines: set[tuple[str, str]]) -> bool:
    return kind != ETCD and (cluster_id, machine) not in machines


def _documented(places: Places) -> Iterator[tuple[str, str]]:
    for folder in places.machines.glob("*/*"):
        yield folder.parent.name, folder.name
