"""Clusters with scripted activities on a real server, and ``g8s`` as people run it: a process of its own."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.support.fakes import Script
from tests.workflows.conftest import Clusters, served

PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Result:
    """What a process said."""

    status: int
    out: str
    err: str


class Program:
    """Runs ``g8s`` with folders and settings of the test's own, without a terminal."""

    def __init__(self, folder: Path, address: str) -> None:
        self.state = folder / "state"
        self.home = folder / "home"
        self.state.mkdir()
        self.home.mkdir()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        self.environment = {
            **inherited,
            "TEMPORAL_ADDRESS": address,
            "GIANTNETES_STATE": str(self.state),
            "HOME": str(self.home),
            "LOGNAME": "jane",
            "PYTHONWARNINGS": "error",
        }

    async def run(self, *arguments: str, **environment: str) -> Result:
        """Run a command to its end."""
        async with self.started(*arguments, stdout=asyncio.subprocess.PIPE, **environment) as process:
            out, err = await process.communicate()
        assert process.returncode is not None
        assert "Traceback" not in err.decode()
        return Result(process.returncode, out.decode(), err.decode())

    @contextlib.asynccontextmanager
    async def started(
        self, *arguments: str, stdout: int = asyncio.subprocess.PIPE, **environment: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start a command; it is killed in the end if it still runs."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "workers.cli.main", *arguments),
            cwd=PROJECT,
            env=self.environment | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


@pytest.fixture
def script() -> Script:
    """What the activities do in this test."""
    return Script()


@pytest.fixture
async def clusters(temporal: WorkflowEnvironment, script: Script) -> AsyncIterator[Clusters]:
    """Clusters on the real server."""
    async with served(temporal, script) as found:
        yield found


@pytest.fixture
def address(temporal: WorkflowEnvironment) -> str:
    """Where the server listens."""
    return temporal.client.service_client.config.target_host


@pytest.fixture
def g8s(tmp_path: Path, address: str) -> Program:
    """The command line."""
    return Program(tmp_path, address)
