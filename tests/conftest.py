"""For every test: one Temporal server for a session, folders that stay together, the kill table at the end."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment
from xdist.scheduler import LoadScopeScheduling

from tests.chaos import table
from tests.support.temporal import start_server, start_skipping_server


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A real Temporal dev server."""
    async with await start_server() as environment:
        yield environment


@pytest.fixture(scope="session")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A real Temporal dev server whose workflows skip time."""
    async with await start_skipping_server() as environment:
        yield environment


class ByFolder(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Lets one process run all tests of a folder, in their order, as they share what takes long to start.

    Those of workflows come last, and need little: by file both processes have some of them to the end.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folders = file.split("/")[1:-1]
        if folders == ["workflows"]:
            return file
        return "/".join(folders[: 2 if folders[:1] == ["activities"] else 1])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    """Choose how tests are given to processes, if there are several."""
    return ByFolder(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the kill table of this process to the one that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["kills"] = [asdict(row) for row in table.ROWS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the kill table of another process."""
    table.ROWS.extend(table.Row(**row) for row in getattr(node, "workeroutput", {}).get("kills", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the kill table."""
    if found := table.lines():
        terminalreporter.section("kill table")
        terminalreporter.write_line("\n".join(found))
