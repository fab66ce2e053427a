"""Specs of resources as models: a definition may have taken what they don't, or have changed since."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from contracts.converter import describe

M = TypeVar("M", bound=BaseModel)


class InvalidError(Exception):
    """A document doesn't fit its model; ``faults`` has a sentence for each field."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def validated(model: type[M], document: Any) -> M:
    """Return a document of the API as its model. Raises InvalidError."""
    try:
        return model.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise InvalidError(describe(error)) from None
