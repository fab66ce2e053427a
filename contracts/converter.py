"""The one data converter, for every client, worker, test and replayer.

Bad input fails the start or the update at once, with every faulty field named. With the stock converter it
would fail the workflow *task*, which is retried for ever while the run looks healthy.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import temporalio.api.common.v1
import temporalio.api.failure.v1
from pydantic import BaseModel, ValidationError
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    BinaryNullPayloadConverter,
    CompositePayloadConverter,
    DefaultFailureConverter,
    JSONProtoPayloadConverter,
    PayloadConverter,
    create_payload_validation_error,
)
from temporalio.exceptions import ApplicationError, FailureError


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
            raise _refusal(*describe(error)) from None


class StrictPayloadConverter(CompositePayloadConverter):
    """Takes one JSON value, or null where that fits: every message here has one argument.

    Messages in the JSON form of protocol buffers are for Temporal's own queries, such as the workflow metadata.
    """

    def __init__(self) -> None:
        """Create the converter; the SDK makes one for each sandbox, so it takes no arguments."""
        super().__init__(BinaryNullPayloadConverter(), JSONProtoPayloadConverter(), StrictJSONConverter())

    def from_payloads(
        self, payloads: Sequence[temporalio.api.common.v1.Payload], type_hints: list[type] | None = None
    ) -> list[Any]:
        """Convert payloads; raises a non-retryable ``ApplicationError`` for what can't be a message.

        The SDK gives no types for another number of values than the receiver takes.
        """
        if len(payloads) > 1 and not type_hints:
            raise _refusal(f"input: one JSON value is taken, not {len(payloads)}")
        try:
            values = super().from_payloads(payloads, type_hints)
        except (KeyError, RuntimeError):
            raise _refusal("input: must be JSON, with the encoding json/plain") from None
        for value, wanted in zip(values, type_hints or values, strict=True):
            if isinstance(wanted, type) and issubclass(wanted, BaseModel) and not isinstance(value, BaseModel):
                raise _refusal("input: Input should be an object")
        return values


def _refusal(*lines: str) -> ApplicationError:
    """Return the error that Temporal reserves for input that doesn't fit, with one line for each fault."""
    reserved = create_payload_validation_error(list(lines))
    message = "invalid input: " + "; ".join(lines)
    return ApplicationError(message, list(lines), type=reserved.type, non_retryable=True)


class SentenceFailureConverter(DefaultFailureConverter):
    """What is raised on purpose travels as its sentence; only bugs bring the lines of code that they came from.

    Whatever a failure holds is what the CLI and the Web UI show people.
    """

    def to_failure(
        self,
        exception: BaseException,
        payload_converter: PayloadConverter,
        failure: temporalio.api.failure.v1.Failure,
    ) -> None:
        """Convert an exception, and what caused it, to ``failure``."""
        super().to_failure(exception, payload_converter, failure)
        if isinstance(exception, FailureError):
            failure.stack_trace = ""


data_converter = dataclasses.replace(
    pydantic_data_converter,
    payload_converter_class=StrictPayloadConverter,
    failure_converter_class=SentenceFailureConverter,
)
