"""What a name is registered for, for decisions about a cluster."""

from typing import Any, TypeVar

from pydantic import ValidationError

from activities.vault.paths import registry_path
from activities.vault.records import Folders, Stored
from activities.vault.registry import RegistryEntry, registered_spec
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError
from planning.create import endpoint_host
from planning.decide import Standing


class _Entry(Stored):
    """The part of a registry entry that a decision needs, whatever spec an older or newer version wrote there."""

    owner: str
    completed_at: Any = None
    released_at: Any = None


Entry = TypeVar("Entry", _Entry, RegistryEntry)


class Inventory:
    """Reads the registry as the task ``planner``."""

    def __init__(self, records: Folders) -> None:
        """Use the login of ``planner``."""
        self._records = records

    def standing(self, namespace: str, name: str) -> Standing | None:
        """Return what is registered under a name, None when nothing is, or nothing any more."""
        entry = self._read(namespace, name, _Entry)
        return Standing(owner=entry.owner, complete=bool(entry.completed_at)) if entry else None

    def cluster(self, namespace: str, name: str) -> ClusterContext | None:
        """Return the cluster that a name stands for as it was made, None when it stands for none.

        Raises ``StepError``: ClusterDeleted when it is being deleted, ConfigurationBroken when its entry or spec
        can't be read.
        """
        entry = self._read(namespace, name, RegistryEntry)
        if entry is None:
            return None
        if entry.deleting_at:
            raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {entry.cluster_id} is being deleted")
        spec = registered_spec(entry, f"{namespace}/{name}")
        return ClusterContext(
            cluster_id=entry.cluster_id,
            namespace=namespace,
            name=name,
            spec=spec,
            machine_network=entry.networks[-1],
            endpoint_host=endpoint_host(spec),
        )

    def _read(self, namespace: str, name: str, model: type[Entry]) -> Entry | None:
        """Return what is registered under a name, None when nothing is, or nothing any more."""
        path = registry_path(namespace, name)
        record = self._records.read(path)
        if record is None:
            return None
        try:
            entry = model.model_validate(record.data)
        except ValidationError:
            raise StepError(
                ErrorCode.CONFIGURATION_BROKEN,
                f"the registry entry {path} in Vault can't be read: correct it there",
            ) from None
        return None if entry.released_at else entry
