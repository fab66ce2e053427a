"""Running an activity as its worker would, but in this thread."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.guest import GuestReport, GuestRequest

Method = Callable[[GuestRequest], GuestReport]


def environment(seconds: float) -> ActivityEnvironment:
    """Return an activity's surroundings with a start-to-close timeout."""
    surroundings = ActivityEnvironment()
    surroundings.info = replace(surroundings.info, start_to_close_timeout=timedelta(seconds=seconds))
    return surroundings


def run(method: Method, request: GuestRequest, seconds: float = 60) -> str:
    """Run an activity and return what it reports."""
    return environment(seconds).run(method, request).message


def refusal(method: Method, request: GuestRequest, seconds: float = 1) -> tuple[ErrorCode, str]:
    """Run an activity that must fail; return the code and the message of its error."""
    with pytest.raises(StepError) as caught:
        run(method, request, seconds)
    return caught.value.code, caught.value.message
