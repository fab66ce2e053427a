"""Watching a cluster until its operation ends: live on a terminal, one line for each change elsewhere."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_fixed

from api.status import ClusterStatus
from workers.cli.cluster import ClusterClient, Look
from workers.cli.errors import NoAnswerError
from workers.cli.progress import changes, overview

INTERVAL_S = 0.25
PATIENCE_S = 120
"""How long nobody may answer before watching ends; workers and Temporal may be restarted meanwhile."""


class View(Protocol):
    """Shows looks at a cluster, and sentences beside them."""

    def show(self, look: Look) -> None:
        """Show the newest look."""

    def note(self, sentence: str) -> None:
        """Say something about the watching itself."""


async def watch(cluster: ClusterClient, console: Console) -> Look:
    """Show a cluster until nothing more happens by itself; return the last look at it.

    Raises CliError when nobody answers at the beginning or for ``PATIENCE_S`` seconds later on.
    """
    look = await cluster.look()
    if look.settled:
        show(look, console)
        return look
    with _view(console) as view:
        view.show(look)
        while not look.settled:
            await asyncio.sleep(INTERVAL_S)
            look = await patiently(cluster, view.note)
            view.show(look)
    return look


def show(look: Look, console: Console) -> None:
    """Print everything that is known of a cluster."""
    for line in _everything(look, console):
        console.print(line)


def _everything(look: Look, console: Console) -> Iterator[Text]:
    """Return all lines; signs beyond ASCII are for terminals that can show them."""
    marks = console.is_terminal and console.encoding.startswith("utf")
    return overview(look, datetime.now(UTC), marks=marks)


async def patiently(cluster: ClusterClient, note: Callable[[str], None]) -> Look:
    """Look at a cluster, asking again for ``PATIENCE_S`` seconds while nobody answers, which is noted once."""

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, NoAnswerError) and state.attempt_number == 1:
            note(f"{error.message}; still asking. {error.hint}")

    tries = AsyncRetrying(
        retry=retry_if_exception_type(NoAnswerError),
        stop=stop_after_delay(PATIENCE_S),
        wait=wait_fixed(1),
        before_sleep=say,
        reraise=True,
    )
    return await tries(cluster.look)


@contextlib.contextmanager
def _view(console: Console) -> Iterator[View]:
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines(console)
        return
    console.soft_wrap = False  # what is drawn again and again has to fit the screen
    with Live(console=console, refresh_per_second=4) as live:
        yield _Board(live)


class _Board:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, look: Look) -> None:
        self._live.update(Group(*_everything(look, self._live.console)))

    def note(self, sentence: str) -> None:
        self._live.console.print(Text(sentence, style="yellow"))


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._before: ClusterStatus | None = None

    def show(self, look: Look) -> None:
        for line in changes(self._before, look.status):
            self._console.print(line)
        if look.ending:
            self._console.print(f"ended: {look.ending}")
        self._before = look.status

    def note(self, sentence: str) -> None:
        self._console.print(sentence)
