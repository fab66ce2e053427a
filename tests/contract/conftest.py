import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.machines import Provider
from tests.contract.clusters import TestCluster
from tests.contract.rooms import LocalRoom, Room, SimulatedRoom, local_room, new_cluster

PROVIDERS = ["libvirt"] if os.environ.get("G8S_ROOM") else ["local", "simulated"]
"""Virtual machines need the room that ``tests/libvirt/room.sh`` makes."""


@pytest.fixture(scope="session")
def local() -> Iterator[LocalRoom]:
    with local_room() as room:
        yield room


@pytest.fixture(scope="session")
def libvirt() -> Iterator[Room]:
    from tests.libvirt.rooms import libvirt_room  # noqa: PLC0415 - the package is an extra

    with libvirt_room() as room:
        yield room


@pytest.fixture(params=PROVIDERS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Room:
    """Each provider in turn."""
    if request.param == "simulated":
        return SimulatedRoom(tmp_path)
    found: Room = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def provider(room: Room) -> Provider:
    return room.provider()


@pytest.fixture
def cluster(room: Room) -> Iterator[TestCluster]:
    with new_cluster(room) as made:
        yield made
