"""Fixtures for every test: one Temporal server for the session."""

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

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
