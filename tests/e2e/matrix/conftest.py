"""One cluster for all tests of the matrix, made and deleted by the project itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from temporalio.client import Client

from api.status import ClusterStatus, Phase
from deploy.stack import Stack
from tests.e2e.matrix.credentials import Credential
from tests.e2e.matrix.subject import SPEC, Subject, all_credentials, subject_of
from tests.e2e.people import administrator
from tests.support.clusters import Handle, delete, start, until_created
from tests.support.leaks import LeakSearch


@pytest.fixture(scope="package")
async def handle(
    client: Client, leak_search: LeakSearch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Handle]:
    """The cluster's workflow; the cluster is Running."""
    handle = await start(client, "matrix", **SPEC)
    status = await until_created(client, handle)
    assert status.phase == Phase.RUNNING, status.waiting_on
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    await asyncio.to_thread(administrator, "matrix", kubeconfig)
    leak_search.collect(status.cluster_id or "", kubeconfig)
    yield handle
    await leak_search.check(client)
    await delete(handle)


@pytest.fixture(scope="package")
async def subject(handle: Handle, stack: Stack) -> AsyncIterator[Subject]:
    """The cluster, and the CAs of another beside it."""
    found = subject_of(stack, await handle.query("status", result_type=ClusterStatus))
    found.make_foreign()
    yield found
    found.remove_foreign()


@pytest.fixture(scope="package")
async def credentials(subject: Subject, handle: Handle) -> Mapping[str, Credential]:
    """What is presented: one for each row of the table."""
    return await all_credentials(subject, handle)
