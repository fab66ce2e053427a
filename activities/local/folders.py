"""Where the local provider keeps what it makes, below the folder of the local stack."""

import re
from collections.abc import Iterator
from pathlib import Path

from api.errors import ErrorCode
from contracts.errors import StepError

ENDPOINT = "endpoint"
"""Name of the group and folder in front of three API servers; machines' names end in a number."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Folders:
    """Paths of machines, volumes and what belongs to them, by cluster id and name."""

    def __init__(self, state: Path) -> None:
        """``state`` is the folder of the local stack."""
        self.state = state
        self.machines = state / "machines"
        self.volumes = state / "volumes"
        self.includes = state / "supervisor" / "machines"

    def machine(self, cluster_id: str, name: str) -> Path:
        """Return the folder of a machine."""
        return self.machines / _checked(cluster_id) / _checked(name)

    def volume(self, cluster_id: str, slot: str) -> Path:
        """Return the etcd volume of a control plane slot."""
        return self.volumes / _checked(cluster_id) / _checked(slot) / "etcd"

    def group(self, cluster_id: str, name: str) -> str:
        """Return as what the supervisor knows a machine."""
        return f"{_checked(cluster_id)}.{_checked(name)}"

    def include(self, cluster_id: str, name: str) -> Path:
        """Return the file that the supervisor reads for a machine."""
        return self.includes / f"{self.group(cluster_id, name)}.conf"

    def tombstone(self, cluster_id: str) -> Path:
        """Return the file that says that a cluster was deleted."""
        return self.state / "tombstones" / _checked(cluster_id)

    def lock(self, cluster_id: str) -> Path:
        """Return the file that those who change a cluster take turns by."""
        return self.state / "locks" / f"{_checked(cluster_id)}.lock"

    def names(self, cluster_id: str) -> list[str]:
        """Return the names of a cluster's machines and endpoint: whatever has a folder or an include file."""
        prefix = f"{_checked(cluster_id)}."
        included = {path.stem.removeprefix(prefix) for path in self.includes.glob(f"{prefix}*.conf")}
        return sorted(included | {path.name for path in _children(self.machines / cluster_id)})

    def cluster_ids(self) -> list[str]:
        """Return the clusters of which anything is on the disk."""
        included = {path.stem.partition(".")[0] for path in self.includes.glob("*.conf")}
        kept = (path.name for parent in (self.machines, self.volumes) for path in _children(parent))
        return sorted(included.union(kept))

    def slots(self, cluster_id: str) -> list[str]:
        """Return the control plane slots of a cluster that have a volume."""
        return sorted(path.name for path in _children(self.volumes / _checked(cluster_id)))


def _children(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def _checked(name: str) -> str:
    """Names become paths and supervisor's words, so only labels pass."""
    if not _NAME.fullmatch(name):
        raise StepError(ErrorCode.INTERNAL, f"{name!r} can't name a cluster or a machine: it is no DNS label")
    return name
