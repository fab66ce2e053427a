"""Records in Vault's KV store, changed by check-and-set."""

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic.alias_generators import to_camel

from activities.vault.client import Record
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.model import WireModel

RACES = 5
"""Times that a record is read anew because it was changed between reading and writing."""


class Stored(WireModel, alias_generator=to_camel, populate_by_name=True):
    """A value in the KV store, camelCase."""

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


class Folders(Protocol):
    """The part of ``VaultClient`` that records need."""

    def read(self, path: str) -> Record | None:
        """Return the newest version, None when there is none."""
        ...

    def write(self, path: str, data: Mapping[str, Any], version: int) -> bool:
        """Write when the newest version is ``version``; say whether it was."""
        ...

    def keys(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        ...


def changing(path: str) -> StepError:
    """Return the error of an attempt that others were always ahead of."""
    return StepError(ErrorCode.VAULT_UNAVAILABLE, f"{path} is being changed by another attempt")
