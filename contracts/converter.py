"""The one data converter, for every client, worker, test and replayer.

Bad input fails the start or the update at once, with every faulty field named. With the stock converter it
would fail the workflow *task*, which is retried for ever while the run looks healthy.
"""

import dataclasses
from typing import Any

import temporalio.api.common.v1
from pydantic import ValidationError
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
    create_payload_validation_error,
)
from temporalio.exceptions import ApplicationError


def describe(error: ValidationError) -> list[str]:
    """Return one line for each faulty field: its path and what is wrong, never the value given."""
    return [
        f"{'.'.join(str(part) for part in entry['loc']) or 'input'}: {entry['msg'].removeprefix('Value error, ')}"
        for entry in error.errors(include_input=False, include_url=False, include_context=False)
    ]


class StrictJSONConverter(PydanticJSONPlainPayloadConverter):
    """Pydantic's converter, with a readable and final error for input that doesn't fit."""

    def from_payload(self, payload: temporalio.api.common.v1.Payload, type_hint: type | None = None) -> Any:
        """Convert a payload; raises a non-retryable ``ApplicationError`` that lists the faulty fields."""
        try:
            return super().from_payload(payload, type_hint)
        except ValidationError as error:
            lines = describe(error)
            reserved = create_payload_validation_error(lines)
            raise ApplicationError(
                "invalid input: " + "; ".join(lines), lines, type=reserved.type, non_retryable=True
            ) from None


class StrictPayloadConverter(CompositePayloadConverter):
    """The default converters, with the JSON one replaced."""

    def __init__(self) -> None:
        """Create the converter; the SDK makes one for each sandbox, so it takes no arguments."""
        super().__init__(
            *(
                StrictJSONConverter() if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


data_converter = dataclasses.replace(pydantic_data_converter, payload_converter_class=StrictPayloadConverter)
