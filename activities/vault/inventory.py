"""The clusters that are registered, for decisions that look at more than one."""

from functools import partial

from activities.vault.client import VaultClient
from activities.vault.parallel import gather
from activities.vault.paths import CLUSTERS, registry_path
from activities.vault.registry import RegistryEntry
from api.cluster import ClusterSpec


class Inventory:
    """Reads the registry as the task ``registry``."""

    def __init__(self, registry: VaultClient) -> None:
        """Use the login of ``registry``."""
        self._records = registry

    def specs_beside(self, namespace: str, name: str) -> list[ClusterSpec]:
        """Return the specs of all registered clusters but the one of this name."""
        paths = [path for path in self._paths() if path != registry_path(namespace, name)]
        found = gather([partial(self._spec, path) for path in paths])
        return [spec for spec in found if spec is not None]

    def _paths(self) -> list[str]:
        namespaces = [key.rstrip("/") for key in self._records.keys(CLUSTERS)]
        return [
            registry_path(namespace, name)
            for namespace in namespaces
            for name in self._records.keys(f"{CLUSTERS}/{namespace}")
        ]

    def _spec(self, path: str) -> ClusterSpec | None:
        record = self._records.read(path)
        entry = RegistryEntry.model_validate(record.data) if record else None
        return entry.spec if entry and entry.released_at is None else None
