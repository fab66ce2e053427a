"""The clusters that are registered, for decisions that look at more than one."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import Field, ValidationError

from activities.parallel import gather
from activities.vault.client import VaultClient
from activities.vault.paths import CLUSTERS, registry_path
from activities.vault.registry import Stored
from api.errors import ErrorCode
from contracts.errors import StepError
from planning.quotas import Holding


class _Counted(Stored):
    replicas: int = 1


class _CountedSpec(Stored):
    """The part of a spec that quotas count, whatever else an older or newer version wrote there."""

    control_plane: _Counted = Field(default_factory=_Counted)
    node_pools: list[_Counted] = Field(default_factory=list)


class _CountedEntry(Stored):
    owner: str
    spec: _CountedSpec
    released_at: datetime | None = None


class Inventory:
    """Reads the registry as the task ``registry``."""

    def __init__(self, registry: VaultClient) -> None:
        """Use the login of ``registry``."""
        self._records = registry

    def registered(self, namespace: str, name: str) -> list[Holding]:
        """Return what each registered cluster holds of its owner's quota; the one of this name is marked."""
        own = registry_path(namespace, name)
        found = gather([partial(self._holding, path, own=path == own) for path in self._paths()])
        return [holding for holding in found if holding is not None]

    def _paths(self) -> list[str]:
        namespaces = [key.rstrip("/") for key in self._records.keys(CLUSTERS)]
        return [
            registry_path(namespace, name)
            for namespace in namespaces
            for name in self._records.keys(f"{CLUSTERS}/{namespace}")
        ]

    def _holding(self, path: str, *, own: bool) -> Holding | None:
        record = self._records.read(path)
        return read_holding(path, record.data, own=own) if record else None


def read_holding(path: str, data: Mapping[str, Any], *, own: bool) -> Holding | None:
    """Return what the entry at ``path`` holds, None when it is released. Pure.

    A released entry is not read any further, and of others only what is counted: an entry whose spec today's
    models refuse must not keep everybody from creating clusters.
    """
    if data.get("releasedAt"):
        return None
    try:
        entry = _CountedEntry.model_validate(data)
    except ValidationError:
        raise StepError(
            ErrorCode.CONFIGURATION_BROKEN, f"the registry entry {path} in Vault can't be read: correct it there"
        ) from None
    machines = entry.spec.control_plane.replicas + sum(pool.replicas for pool in entry.spec.node_pools)
    return Holding(entry.owner, machines, own=own, complete=bool(data.get("completedAt")))
