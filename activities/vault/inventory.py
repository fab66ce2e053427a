"""What a name is registered for, for decisions about a cluster."""

from typing import Any

from pydantic import ValidationError

from activities.vault.paths import registry_path
from activities.vault.records import Folders, Stored
from api.errors import ErrorCode
from contracts.errors import StepError
from planning.decide import Standing


class _Entry(Stored):
    """The part of a registry entry that a decision needs, whatever spec an older or newer version wrote there."""

    owner: str
    completed_at: Any = None
    released_at: Any = None


class Inventory:
    """Reads the registry as the task ``planner``."""

    def __init__(self, records: Folders) -> None:
        """Use the login of ``planner``."""
        self._records = records

    def standing(self, namespace: str, name: str) -> Standing | None:
        """Return what is registered under a name, None when nothing is, or nothing any more."""
        path = registry_path(namespace, name)
        record = self._records.read(path)
        if record is None:
            return None
        try:
            entry = _Entry.model_validate(record.data)
        except ValidationError:
            raise StepError(
                ErrorCode.CONFIGURATION_BROKEN,
                f"the registry entry {path} in Vault can't be read: correct it there",
            ) from None
        return None if entry.released_at else Standing(owner=entry.owner, complete=bool(entry.completed_at))
