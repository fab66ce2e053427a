"""The work queue: nothing twice at a time, nothing lost, ever longer waits for what fails."""

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.bridge.kit import queue as module
from workers.bridge.kit.queue import LONGEST_S, WorkQueue, backoff


async def taken(queue: WorkQueue[str], within: float = 0.05) -> list[str]:
    """Take all there is within some seconds."""
    found: list[str] = []
    try:
        async with asyncio.timeout(within):
            while True:
                found.append(await queue.take())
    except TimeoutError:
        return found


def filled(keys: Iterable[str]) -> WorkQueue[str]:
    queue: WorkQueue[str] = WorkQueue()
    for key in keys:
        queue.add(key)
    return queue


async def test_a_key_waits_once_however_often_it_is_added() -> None:
    assert await taken(filled("abab")) == ["a", "b"]


async def test_what_comes_while_a_key_is_worked_on_is_given_out_afterwards() -> None:
    queue = filled("a")
    assert await queue.take() == "a"
    queue.add("a")
    assert await taken(queue) == []
    queue.done("a")
    assert await taken(queue) == ["a"]
    queue.done("a")
    assert await taken(queue) == []


async def test_a_key_that_fails_comes_back_later_and_not_for_what_came_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "backoff", lambda _failures: 1.0)
    queue = filled("a")
    await queue.take()
    queue.add("a")
    queue.done("a", failed=True)
    assert await taken(queue) == []
    assert await taken(queue, 3) == ["a"]


async def test_a_new_event_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "backoff", lambda _failures: 60.0)
    queue = filled("a")
    await queue.take()
    queue.done("a", failed=True)
    queue.add("a")
    assert await taken(queue) == ["a"]


async def test_of_two_later_times_the_sooner_one_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0.02)
    queue.add_after("a", 60)
    queue.add_after("b", 60)
    queue.add_after("b", 0.02)
    assert await taken(queue, 1) == ["a", "b"]


async def test_a_key_may_ask_for_another_look() -> None:
    queue = filled("a")
    await queue.take()
    queue.done("a", again_after=0.01)
    assert await taken(queue, 1) == ["a"]


async def test_success_forgets_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def at_once(failures: int) -> float:
        asked.append(failures)
        return 0.0

    monkeypatch.setattr(module, "backoff", at_once)
    queue = filled("a")
    for failed in (True, True, False, True):
        await queue.take()
        queue.done("a", failed=failed, again_after=None if failed else 0)
    assert asked == [1, 2, 1]


@given(st.integers(1, 10_000))
def test_waits_are_bounded(failures: int) -> None:
    assert 0.1 < backoff(failures) <= LONGEST_S


MOVES = st.lists(st.tuples(st.sampled_from(["add", "take", "done", "fail"]), st.sampled_from("abc")), max_size=60)


class Model:
    """A queue beside what it is to have: keys that are held, and keys that are still owed work."""

    def __init__(self) -> None:
        self.queue: WorkQueue[str] = WorkQueue()
        self.held: set[str] = set()
        self.owed: set[str] = set()

    async def move(self, move: str, key: str) -> None:
        if move == "add":
            self.queue.add(key)
            self.owed.add(key)
        elif move == "take" and len(self.queue):
            found = await self.queue.take()
            assert found not in self.held
            self.held.add(found)
            self.owed.discard(found)
        elif move in {"done", "fail"} and key in self.held:
            self.held.discard(key)
            self.owed |= {key} if move == "fail" else set()
            self.queue.done(key, failed=move == "fail")

    async def drain(self) -> None:
        for key in self.held:
            self.queue.done(key)
        while self.owed:
            async with asyncio.timeout(30):
                found = await self.queue.take()
            self.owed.discard(found)
            self.queue.done(found)


@given(MOVES)
def test_nothing_is_worked_on_twice_at_a_time_or_lost(moves: list[tuple[str, str]]) -> None:
    """Every key that was added after its last take is given out in the end."""

    async def play() -> None:
        model = Model()
        for move, key in moves:
            await model.move(move, key)
        await model.drain()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FIRST_S", 0.001)
        asyncio.run(play())
