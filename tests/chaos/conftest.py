"""One stack for all bad days, without a host API: real Temporal, OpenBao and worker, kept by supervisord."""

from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import Client

from deploy.stack import Stack
from tests.chaos import outside
from tests.support.stack import running_stack
from workers.client import connect

SERVICES = ("temporal", "openbao", "worker")


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """A running local stack of these tests' own."""
    with running_stack(SERVICES) as running:
        yield running


@pytest.fixture(scope="package")
async def client(stack: Stack) -> Client:
    """A client of that stack's Temporal, in whose default namespace the stack's own worker polls."""
    del stack
    return await connect()


@pytest.fixture(scope="package")
def root(stack: Stack) -> Iterator[Any]:
    """An hvac client that may see everything in the stack's OpenBao."""
    with outside.root_client(stack) as client:
        yield client
