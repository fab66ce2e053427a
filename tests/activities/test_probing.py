"""A probe ends when something has changed, and not before."""

import asyncio

import pytest
from temporalio.testing import ActivityEnvironment

from activities import probing
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.reporting import ApiHealth, ProbeRequest
from tests.activities.kubernetes.golden import cluster_nowhere

UP = ApiHealth(available=True, message="answers", nodes=["workers-1"])
DOWN = ApiHealth(available=False, message="silent")
SEALED = ApiHealth(available=None)
"""Vault gives no certificate to look with."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look without pauses to speak of."""
    monkeypatch.setattr(probing, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(probing, "AGAIN_SECONDS", 0.01)


async def probe(*seen: ApiHealth, known: ApiHealth | None) -> ApiHealth:
    looks = iter(seen)

    def look(_: ClusterContext) -> ApiHealth:
        found = next(looks)
        if found is SEALED:
            raise StepError(ErrorCode.VAULT_SEALED, "it is sealed")
        return found

    prober = probing.Prober(look)
    request = ProbeRequest(cluster=cluster_nowhere(), known=known)
    async with asyncio.timeout(10):
        return await ActivityEnvironment().run(prober.probe_api, request)


async def test_the_first_look_is_told() -> None:
    assert await probe(UP, known=None) == UP


async def test_what_is_known_is_not_told() -> None:
    fewer = UP.model_copy(update={"nodes": []})
    assert await probe(UP, UP, UP, fewer, known=UP) == fewer


async def test_one_silence_is_no_proof() -> None:
    assert await probe(DOWN, UP, DOWN, DOWN, known=UP) == DOWN


async def test_other_words_for_the_same_silence_are_no_news() -> None:
    other = DOWN.model_copy(update={"message": "no answer"})
    assert await probe(other, DOWN, UP, known=DOWN) == UP


async def test_an_api_that_is_back_is_told_at_once() -> None:
    assert await probe(DOWN, UP, known=DOWN) == UP


async def test_who_can_not_look_tells_why_and_leaves_the_rest_as_it_was_known() -> None:
    seen = await probe(SEALED, SEALED, known=UP)
    assert seen == UP.model_copy(update={"available": None, "message": "VaultSealed: it is sealed"})
    assert await probe(SEALED, UP, known=seen) == UP
    assert (await probe(SEALED, known=None)).available is None
