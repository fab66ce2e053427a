"""Lanes: workers that die side by side, each in a Temporal namespace of its own.

A namespace has its own task queues, so a whole worker, workflows and all, can be killed without the clusters
of other lanes noticing. Temporal, OpenBao and the simulated world are the same for all.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from contracts.converter import data_converter
from contracts.workflows import SEARCH_ATTRIBUTES
from deploy.stack import Stack
from tests.chaos.crashing_worker import HELD, HOLD, Kill

PROJECT = Path(__file__).parents[2]
DEATH_SECONDS = 40.0
HELD_SECONDS = 60.0
RETENTION = Duration(seconds=86400)


class Lane:
    """One namespace with one worker."""

    def __init__(self, client: Client, folder: Path, environment: Mapping[str, str]) -> None:
        """Use ``lane`` instead."""
        self.client = client
        self.folder = folder
        self._plan = folder / "plan.json"
        self._environment = environment
        self._worker: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        """What the lane's workers have logged."""
        return (self.folder / "worker.log").read_text()

    async def start_worker(self, *before: str) -> None:
        """Start the worker; what it has to do waits for it, so nobody else needs to.

        ``before`` stands in front of its command: a program that becomes it.
        """
        with (self.folder / "worker.log").open("ab") as log:
            self._worker = await asyncio.create_subprocess_exec(
                *(*before, sys.executable, "-m", "tests.chaos.crashing_worker", str(self._plan)),
                env=self._environment,
                cwd=PROJECT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def arm(self, kill: Kill) -> None:
        """Let the worker die where ``kill`` says."""
        _write_whole(self._plan, kill.model_dump_json())

    def disarm(self) -> None:
        """Forget a kill that did not come true."""
        self._plan.unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def holding(self, what: str, begun: Awaitable[Any]) -> AsyncIterator[None]:
        """Hold activities while the block runs, which begins when one is held.

        ``what`` is a part of their ids, such as ``InstallMachine/workers-1``; ``begun`` leads to them.
        """
        hold, held = self.folder / HOLD, self.folder / HELD
        held.unlink(missing_ok=True)
        _write_whole(hold, what)
        try:
            await begun
            async with asyncio.timeout(HELD_SECONDS):
                while not held.exists():
                    await asyncio.sleep(0.02)
            yield
        finally:
            hold.unlink()

    async def death(self) -> float:
        """Wait until the worker has killed itself, start it again, and return the time of death (monotonic)."""
        assert self._worker is not None
        status = await asyncio.wait_for(self._worker.wait(), DEATH_SECONDS)
        died = time.monotonic()
        assert status == -signal.SIGKILL, self.log[-2000:]
        await self.start_worker()
        return died

    async def stop_worker(self) -> None:
        """Kill the worker."""
        if self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.kill()
            await self._worker.wait()


def _write_whole(path: Path, text: str) -> None:
    """Write a file that the worker may read at any moment."""
    partial = path.with_suffix(".part")
    partial.write_text(text)
    partial.rename(path)


@contextlib.asynccontextmanager
async def lane(stack: Stack, name: str, folder: Path, **environment: str) -> AsyncIterator[Lane]:
    """Give a lane whose worker has been started; ``environment`` is put over that of the stack's own worker."""
    async with serving(stack, await namespace(stack, name), folder, **environment) as made:
        yield made


@contextlib.asynccontextmanager
async def serving(stack: Stack, client: Client, folder: Path, **environment: str) -> AsyncIterator[Lane]:
    """Give the namespace of ``client`` as a lane whose worker has been started."""
    settings = {
        "PATH": os.environ["PATH"],
        "GIANTNETES_STATE": str(stack.state),
        "TEMPORAL_ADDRESS": stack.temporal_address,
        "TEMPORAL_NAMESPACE": client.namespace,
        "VAULT_ADDR": stack.vault_address,
        **{key: os.environ[key] for key in ("HOME", "GIANTNETES_CACHE", "XDG_CACHE_HOME") if key in os.environ},
        **environment,
    }
    made = Lane(client, folder, settings)
    await made.start_worker()
    try:
        yield made
    finally:
        await made.stop_worker()


async def namespace(stack: Stack, name: str) -> Client:
    """Make a namespace with our search attributes, and return a client of it."""
    client = await Client.connect(stack.temporal_address, namespace=name, data_converter=data_converter)
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=RETENTION)
    )
    attributes = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=name, search_attributes=attributes)
    )
    return client
