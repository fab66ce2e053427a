from collections.abc import Iterator

import pytest

from tests.contract.clusters import TestCluster
from tests.contract.rooms import LocalRoom, local_room, new_cluster


@pytest.fixture(scope="session")
def shared_room() -> Iterator[LocalRoom]:
    """A room for tests that leave it as they found it."""
    with local_room() as room:
        yield room


@pytest.fixture
def room() -> Iterator[LocalRoom]:
    """A room whose supervisor may be killed."""
    with local_room() as made:
        yield made


@pytest.fixture
def cluster(shared_room: LocalRoom) -> Iterator[TestCluster]:
    with new_cluster(shared_room) as made:
        yield made
