"""One stack for all end-to-end tests: real Temporal, OpenBao, host API and worker."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from temporalio.client import Client

from deploy.stack import Stack
from tests.chaos.outside import root_client
from tests.support.leaks import LeakSearch
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


@pytest.fixture(scope="session")
def root(stack: Stack) -> Iterator[Any]:
    """An hvac client that may see everything in the stack's OpenBao."""
    with root_client(stack) as client:
        yield client


@pytest.fixture(scope="session")
async def leak_search(stack: Stack, client: Client, root: Any) -> AsyncIterator[LeakSearch]:
    """What tests hand the secrets of their clusters to; at the end all of them are looked for once more."""
    search = LeakSearch(stack, root)
    yield search
    assert await search.leaks(client) == []
