from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.machines import Provider
from tests.contract.clusters import TestCluster
from tests.contract.rooms import LocalRoom, Room, SimulatedRoom, local_room, new_cluster


@pytest.fixture(scope="session")
def local() -> Iterator[LocalRoom]:
    with local_room() as room:
        yield room


@pytest.fixture(params=["local", "simulated"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Room:
    """Each provider in turn."""
    if request.param == "simulated":
        return SimulatedRoom(tmp_path)
    found: LocalRoom = request.getfixturevalue("local")
    return found


@pytest.fixture
def provider(room: Room) -> Provider:
    return room.provider()


@pytest.fixture
def cluster(room: Room) -> Iterator[TestCluster]:
    with new_cluster(room) as made:
        yield made
