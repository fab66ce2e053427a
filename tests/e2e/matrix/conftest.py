"""One cluster for all tests of the matrix, made and deleted by the project itself."""

from collections.abc import AsyncIterator, Mapping

import pytest
from temporalio.client import Client

from api.status import ClusterStatus, Phase
from deploy.stack import Stack
from tests.e2e.matrix.credentials import Credential
from tests.e2e.matrix.subject import SPEC, Subject, all_credentials, subject_of
from tests.support.clusters import Handle, delete, start, until_created


@pytest.fixture(scope="package")
async def handle(client: Client) -> AsyncIterator[Handle]:
    """The cluster's workflow; the cluster is Running."""
    handle = await start(client, "matrix", **SPEC)
    status = await until_created(client, handle)
    assert status.phase == Phase.RUNNING, status.waiting_on
    yield handle
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
