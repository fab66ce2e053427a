"""One stack for all end-to-end tests: real Temporal, OpenBao, host API and worker."""

import os
from collections.abc import Iterator

import pytest
from temporalio.client import Client

from deploy.stack import Stack
from tests.support.stack import running_stack
from workers.client import connect


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A running local stack of the tests' own."""
    with running_stack() as running:
        yield running


@pytest.fixture(scope="session")
async def client(stack: Stack) -> Client:
    """A client of that stack's Temporal."""
    assert os.environ["TEMPORAL_ADDRESS"] == stack.temporal_address
    return await connect()
