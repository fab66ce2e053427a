"""Places with machines, one for each provider, so that one suite can ask them all the same."""

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from activities.local.provider import LocalProvider
from activities.simulated.faults import Faults
from activities.simulated.machines import ROOT
from activities.simulated.provider import SimulatedProvider
from api.errors import ErrorCode
from api.release import Release
from contracts.errors import StepError
from contracts.machines import Provider
from deploy.binaries import Part, ensure, tool
from deploy.stack import Stack, layout, supervisord
from planning.releases import load_releases
from tests.contract.clusters import RELEASE, TestCluster
from tests.support.guest import claimed_network


class Room(Protocol):
    """A place with machines."""

    name: str

    def provider(self) -> Provider:
        """Return a provider as a worker has it that was just started."""
        ...

    def failing(self, operation: str) -> Provider:
        """Return a provider whose next ``operation`` fails without effect."""
        ...

    def losing_the_answer(self, operation: str) -> Provider:
        """Return a provider whose next ``operation`` has its effect, and then fails for the caller."""
        ...

    def write_root(self, cluster: TestCluster, machine: str, file: str) -> None:
        """Put a file where a boot makes everything anew."""
        ...

    def has_root(self, cluster: TestCluster, machine: str, file: str) -> bool:
        """Return whether that file is still there."""
        ...


class SimulatedRoom:
    """A world of its own."""

    name = "simulated"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "world.db"
        self.faults = Faults(self.path)

    def provider(self) -> SimulatedProvider:
        return SimulatedProvider(self.path)

    def failing(self, operation: str) -> SimulatedProvider:
        self.faults.fail(operation)
        return self.provider()

    def losing_the_answer(self, operation: str) -> SimulatedProvider:
        self.faults.answer_late(operation)
        return self.provider()

    def write_root(self, cluster: TestCluster, machine: str, file: str) -> None:
        with self.provider().world.transaction() as database:
            database.execute("INSERT INTO files VALUES (?, ?, ?, ?, '')", (cluster.id, machine, ROOT, file))

    def has_root(self, cluster: TestCluster, machine: str, file: str) -> bool:
        with self.provider().world.transaction() as database:
            query = "SELECT 1 FROM files WHERE cluster_id = ? AND machine = ? AND folder = ? AND name = ?"
            return database.execute(query, (cluster.id, machine, ROOT, file)).fetchone() is not None


class LocalRoom:
    """This machine, with a supervisor of its own."""

    name = "local"

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.binaries = releases_binaries

    def provider(self) -> LocalProvider:
        supervisor = supervisord.connect(self.stack)
        socket = self.stack.supervisor_socket
        return LocalProvider(self.stack.state, supervisor, socket, self.binaries, tool("traefik"))

    def failing(self, operation: str) -> Provider:
        return Faulty(self.provider(), operation, lost=False)

    def losing_the_answer(self, operation: str) -> Provider:
        return Faulty(self.provider(), operation, lost=True)

    def folder(self, cluster: TestCluster, machine: str) -> Path:
        return self.stack.state / "machines" / cluster.id / machine

    def write_root(self, cluster: TestCluster, machine: str, file: str) -> None:
        (self.folder(cluster, machine) / "root" / file).write_text("")

    def has_root(self, cluster: TestCluster, machine: str, file: str) -> bool:
        return (self.folder(cluster, machine) / "root" / file).exists()


class Faulty:
    """A provider with one fault, for real machines, which can't be asked to have any."""

    def __init__(self, provider: Provider, operation: str, *, lost: bool) -> None:
        self._provider = provider
        self._operation = operation
        self._lost = lost

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._provider, name)
        if name != self._operation:
            return method
        self._operation = ""

        def failing(*arguments: Any) -> None:
            if self._lost:
                method(*arguments)
            raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, "a fault of the test")

        return failing


def releases_binaries(release: Release) -> Mapping[str, Path]:
    """Return the executables of a release; they are built first if they must be."""
    kubernetes, etcd = release.kubernetes.version, release.etcd.version
    return ensure([Part(name="kubernetes", version=kubernetes), Part(name="etcd", version=etcd)])


@contextlib.contextmanager
def local_room() -> Iterator[LocalRoom]:
    """Give a room with a running supervisor in a temporary folder; at the end nothing is left running."""
    releases_binaries(load_releases()[RELEASE])
    folder = Path(tempfile.mkdtemp(prefix="g8s-"))
    stack = layout.ensure(folder)
    supervisord.write_config(stack, [])
    supervisord.start(stack, print)
    try:
        yield LocalRoom(stack)
    finally:
        supervisord.end(stack, print)
        shutil.rmtree(folder)


@contextlib.contextmanager
def new_cluster(room: Room, **spec: object) -> Iterator[TestCluster]:
    """Give a cluster on a network of its own; at the end it is deleted."""
    with _network(room) as network:
        cluster = TestCluster(room.name, network, **spec)
        try:
            yield cluster
        finally:
            room.provider().delete_all(cluster.id)


_numbers = itertools.count(1)


def _network(room: Room) -> contextlib.AbstractContextManager[str]:
    """Simulated and virtual machines have networks of their own; they only have to differ."""
    if room.name == "local":
        return claimed_network()
    return contextlib.nullcontext(f"10.9.{next(_numbers) % 256}.0/24")
