"""One stack for all bad days, without a host API: real Temporal, OpenBao and worker, kept by supervisord."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from temporalio.client import Client

from deploy.stack import Stack
from tests.chaos import outside
from tests.support.leaks import LeakSearch
from tests.support.secrets import Kind
from tests.support.stack import running_stack
from tests.support.temporal import every_namespace
from workers.client import connect

SERVICES = ("temporal", "openbao", "worker")
OF_THE_STACK = {Kind.HOST_KEY, Kind.LOGIN, Kind.SEAL_KEY, Kind.RECOVERY_KEY, Kind.VAULT_TOKEN}


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


@pytest.fixture(scope="module", autouse=True)
async def leak_search(stack: Stack, client: Client, root: Any) -> AsyncIterator[LeakSearch]:
    """What lives hand the secrets of their clusters to; at the end of each module all of them are looked for.

    By module, since one of them wipes Temporal's database.
    """
    search = LeakSearch(stack, root)
    yield search
    of_clusters = {Kind.MACHINE_KEY, Kind.CLUSTER_KEY} if search.clusters else set()
    await search.check(*await every_namespace(client), kinds=OF_THE_STACK | of_clusters)
