"""A host cluster that knows our resources, and a way to it that can be cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config

from activities.local.supervisor import Supervisor
from api.cluster import API_VERSION
from deploy.stack import Stack, supervisord
from tests.support.host import host_cluster
from tests.support.resourced import Resourced
from tests.support.stack import running_stack
from workers.bridge.kit.kube import Kube

DEFAULT = f"/apis/{API_VERSION}/namespaces/default/clusters"


@pytest.fixture(scope="module")
def host() -> Iterator[Stack]:
    """A host cluster with our definitions."""
    with host_cluster() as stack:
        yield stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        yield running


@pytest.fixture
def clusters(stack: Stack, tmp_path: Path) -> Resourced:
    return Resourced(stack.host_kubeconfig, tmp_path)


@pytest.fixture
def supervisor(stack: Stack) -> Supervisor:
    return supervisord.connect(stack)


@dataclass
class Line:
    """A TCP proxy to the API server: it may be cut, or its connections stay open and pass nothing on any more."""

    target: int
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _silent: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End all connections and take no new ones."""
        if self._server:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def fall_silent(self) -> None:
        """Have the connections that there are pass nothing on for ever, and stay open; new ones are as before."""
        self._silent |= self._writers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, back}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        for each in (writer, back):
            each.close()
            self._writers.discard(each)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if writer not in self._silent:
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def line(host: Stack) -> AsyncIterator[Line]:
    """A way to the host API that can be cut."""
    made = Line(host.ports.host_apiserver)
    await made.open()
    yield made
    await made.cut()


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do some work for as long as the block takes."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def kube_client(kubeconfig: Path, url: str = "") -> ApiClient:
    """Return a client as a kubeconfig says, over another address if one is given."""
    configuration = Configuration()
    await load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    if url:
        configuration.host = url
    return ApiClient(configuration)


@pytest.fixture
async def kube(host: Stack) -> AsyncIterator[Kube]:
    """The host API, straight."""
    async with await kube_client(host.host_kubeconfig) as client:
        yield Kube(client)


@pytest.fixture
async def distant(host: Stack, line: Line) -> AsyncIterator[Kube]:
    """The host API over the line that can be cut."""
    async with await kube_client(host.host_kubeconfig, f"https://127.0.0.1:{line.port}") as client:
        yield Kube(client)
