"""Knowing resources while the API goes away, falls silent, forgets, and is a page too long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from tests.support.resources import cluster_document
from tests.workers.bridge.conftest import Line, running
from workers.bridge.kit import kube as module
from workers.bridge.kit import reflector as watching
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.reflector import Key, Reflector

PATH = "/apis/giantnetes.io/v1alpha1/namespaces/default/clusters"


@pytest.fixture(autouse=True)
async def empty(kube: Kube) -> AsyncIterator[None]:
    """Leave nothing to the next test."""
    yield
    await kube.send("DELETE", PATH)


@pytest.fixture
def asked(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a reflector asks the API for: "list", or the version that a watch goes on from."""
    told: list[str] = []
    listed, watch = kube.listed, kube.watch

    async def lists(path: str) -> tuple[list[Json], str]:
        told.append("list")
        return await listed(path)

    def watches(path: str, version: str, *limits: Any) -> AsyncIterator[Json]:
        told.append(version)
        return watch(path, version, *limits)

    monkeypatch.setattr(kube, "listed", lists)
    monkeypatch.setattr(kube, "watch", watches)
    return told


async def create(kube: Kube, name: str, **annotations: str) -> str:
    """Create a resource; returns its version."""
    document = cluster_document(name)
    document["metadata"] |= {"namespace": "default", "annotations": annotations}
    made = await kube.send("POST", PATH, document)
    return str(made["metadata"]["resourceVersion"])


@contextlib.asynccontextmanager
async def reflecting(
    kube: Kube, changed: Callable[[Key], object] = str, path: str = PATH, **options: Any
) -> AsyncIterator[Reflector]:
    reflector = Reflector(kube, path, changed, **options)
    async with running(reflector.run()):
        yield reflector


async def until_known(reflector: Reflector, *names: str, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not reflector.listed.is_set() or {name for _, name in reflector.objects} != set(names):
            await asyncio.sleep(0.01)


async def until_asked(asked: list[str], times: int) -> None:
    async with asyncio.timeout(30):
        while len(asked) < times:
            await asyncio.sleep(0.01)


async def test_what_is_there_and_what_comes_and_goes_is_known_and_told(kube: Kube) -> None:
    await create(kube, "first")
    told: list[Key] = []
    async with reflecting(kube, told.append) as reflector:
        await until_known(reflector, "first")
        await create(kube, "second")
        await until_known(reflector, "first", "second")
        await kube.send("DELETE", f"{PATH}/first")
        await until_known(reflector, "second")
    assert told == [("default", name) for name in ("first", "second", "first")]


async def test_a_collection_of_many_pages(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    names = [f"c{number}" for number in range(10)]
    for name in names:
        await create(kube, name)
    async with reflecting(kube) as reflector:
        await until_known(reflector, *names)


async def test_a_resource_with_as_much_in_annotations_as_the_api_takes(kube: Kube) -> None:
    async with reflecting(kube) as reflector:
        await until_known(reflector)
        await create(kube, "large", text="ü" * 120_000)
        await until_known(reflector, "large")


async def test_what_happens_while_the_api_is_away_is_known_afterwards(
    kube: Kube, distant: Kube, line: Line
) -> None:
    await create(kube, "stays")
    await create(kube, "goes")
    async with reflecting(distant) as reflector:
        await until_known(reflector, "stays", "goes")
        await line.cut()
        await kube.send("DELETE", f"{PATH}/goes")
        await create(kube, "comes")
        await asyncio.sleep(2)
        assert distant.requests < 12
        await line.open()
        await until_known(reflector, "stays", "comes")


async def test_a_watch_that_is_open_and_silent_is_given_up(kube: Kube, distant: Kube, line: Line) -> None:
    """Its connection never says a word again: what has happened is told by a new one alone."""
    async with reflecting(distant, silence=1.0) as reflector:
        await until_known(reflector)
        await create(kube, "heard")
        await until_known(reflector, "heard")
        line.fall_silent()
        await create(kube, "unheard")
        await until_known(reflector, "heard", "unheard", seconds=15)


async def test_a_watch_that_the_api_ends_goes_on_from_what_was_heard_last(
    kube: Kube, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_S", 1)
    async with reflecting(kube) as reflector:
        await until_known(reflector)
        version = await create(kube, "heard")
        await until_asked(asked, 4)
        await create(kube, "later")
        await until_known(reflector, "heard", "later")
    first, *watches = asked
    assert (first, "list" in watches) == ("list", False)
    assert int(watches[0]) < int(version)
    assert watches[2] == version


async def test_a_bookmark_moves_the_version_that_a_watch_goes_on_from(
    kube: Kube, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API sends one two seconds before it ends a watch. Here it tells of what has happened elsewhere."""
    monkeypatch.setattr(watching, "WATCH_S", 4)
    told: list[Key] = []
    async with reflecting(kube, told.append, PATH.replace("default", "kube-public")) as reflector:
        await until_known(reflector)
        version = await create(kube, "elsewhere")
        async with asyncio.timeout(30):
            while "list" not in asked[1:] and int(asked[-1].replace("list", "0")) < int(version):
                await asyncio.sleep(0.1)
    first, *watches = asked
    assert (first, "list" in watches, told) == ("list", False, [])
    assert int(watches[0]) < int(version)


async def test_a_version_that_is_too_old_leads_to_a_new_list(kube: Kube) -> None:
    """The API has forgotten what happened since, and answers 410 Gone."""
    await create(kube, "missed")
    with pytest.raises(ApiException) as gone:
        await anext(kube.watch(PATH, "1", 10, 10))
    assert gone.value.status == 410
    async with reflecting(kube) as reflector:
        reflector._version = "1"
        await until_known(reflector, "missed")
        assert int(reflector._version) > 1
