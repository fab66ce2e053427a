from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.simulated.provider import SimulatedProvider
from tests.contract.clusters import TestCluster
from tests.contract.rooms import SimulatedRoom, new_cluster


@pytest.fixture
def room(tmp_path: Path) -> SimulatedRoom:
    return SimulatedRoom(tmp_path)


@pytest.fixture
def provider(room: SimulatedRoom) -> SimulatedProvider:
    return room.provider()


@pytest.fixture
def cluster(room: SimulatedRoom) -> Iterator[TestCluster]:
    with new_cluster(room, control_plane={"replicas": 3}) as made:
        yield made
