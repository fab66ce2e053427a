"""What is copied must not make two clusters one."""

import asyncio

import pytest
from temporalio.client import Client

from api.status import Phase
from deploy.stack import Stack
from tests.chaos import outside
from tests.chaos.known import start_known
from tests.chaos.lives import held
from tests.support.clusters import delete, until_created
from tests.support.leaks import LeakSearch

COPIED = ("12345678-1234", "12345678-1234")
ALIKE = ("cluster-2026-0001", "cluster-2026-0002")


@pytest.mark.parametrize("uids", [COPIED, ALIKE], ids=["copied", "alike"])
async def test_clusters_with_the_same_uid_are_two(
    uids: tuple[str, str], stack: Stack, client: Client, leak_search: LeakSearch
) -> None:
    started = [await start_known(client, f"twin-{number}", uid) for number, uid in enumerate(uids)]
    created = [await until_created(client, handle) for handle, _ in started]
    assert {status.phase for status in created} == {Phase.RUNNING}
    assert len({status.endpoint for status in created}) == 2
    for _, cluster_id in started:
        leak_search.collect(cluster_id)
    (gone, _), (kept, kept_id) = started
    await delete(gone)
    assert await asyncio.to_thread(outside.in_vault, stack, kept_id) == held(3)
    await delete(kept)
