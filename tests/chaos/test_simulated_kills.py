"""kill -9 of the worker at every activity boundary of create and delete, with simulated machines.

The lives run side by side; each test waits for the end of its own.
"""

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts import activities as names
from deploy.stack import Stack
from tests.chaos import outside
from tests.chaos.crashing_worker import Kill
from tests.chaos.lives import Life, Results, Walk, wanted
from tests.support.leaks import LeakSearch

LANES = 8

pytestmark = pytest.mark.timeout(300)

CREATE = [
    *(names.PLAN_OPERATION, names.CLAIM, names.ENSURE_AUTHORITY, names.ENSURE_SECRETS, names.ENSURE_ENDPOINT),
    *(names.BOOT_MACHINE, names.SIGN_CERTIFICATES, names.SEAL_SECRETS, names.INSTALL_MACHINE, names.AWAIT_API),
    *(names.ENSURE_ACCESS, names.ENSURE_ADDONS, names.AWAIT_NODES, names.VERIFY_CLUSTER, names.RECORD_COMPLETE),
]
DELETE = [
    *(names.PLAN_OPERATION, names.FIND_CLAIMS, names.DELETE_MACHINES, names.DELETE_AUTHORITIES),
    *(names.DELETE_SECRETS, names.LIST_MACHINE_LEFTOVERS, names.LIST_VAULT_LEFTOVERS, names.RELEASE_CLAIMS),
]
THREE_SLOTS = {names.ENSURE_ENDPOINT, names.BOOT_MACHINE, names.SEAL_SECRETS, names.INSTALL_MACHINE}
HALF_CREATED = [
    # Pinned, but no network claimed.
    Kill(activity=names.CLAIM, moment="during", nth=2),
    # Mounts without CAs; CAs without all of their roles.
    Kill(activity=names.ENSURE_AUTHORITY, moment="during", nth=4),
    Kill(activity=names.ENSURE_AUTHORITY, moment="during", nth=9),
    Kill(activity=names.ENSURE_SECRETS, moment="during", nth=1),
    # Machines whose public keys nobody has seen.
    Kill(activity=names.BOOT_MACHINE, moment="during", nth=1),
    Kill(activity=names.BOOT_MACHINE, moment="during", nth=12),
    # Certificates written, but not taken over.
    Kill(activity=names.INSTALL_MACHINE, moment="during", nth=1),
]
HALF_DELETED = [
    Kill(activity=names.DELETE_AUTHORITIES, moment="during", nth=1),
    Kill(activity=names.DELETE_SECRETS, moment="during", nth=1),
    # The network released, but not the name.
    Kill(activity=names.RELEASE_CLAIMS, moment="during", nth=3),
]


def _at_boundaries(activities: list[str]) -> list[Kill]:
    return [Kill(activity=activity, moment=moment) for activity in activities for moment in ("before", "after")]


LIVES = [
    Life("simulated", create, delete, slots=3 if create and create.activity in THREE_SLOTS else 1)
    for create, delete in itertools.zip_longest(
        [*_at_boundaries(CREATE), *HALF_CREATED], [*_at_boundaries(DELETE), *HALF_DELETED]
    )
]


@pytest.fixture(scope="module")
async def outcomes(
    request: pytest.FixtureRequest,
    stack: Stack,
    root: Any,
    leak_search: LeakSearch,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Results]:
    """What becomes of each life; the world's journal of a cluster is looked at after its end."""

    async def nothing(*_: object) -> None:
        return

    async with Walk(stack, root, nothing, leak_search).running(
        wanted(request), LANES, tmp_path_factory
    ) as results:
        yield results


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
async def test_a_killed_worker_loses_and_doubles_nothing(life: Life, outcomes: Results, stack: Stack) -> None:
    outcome = await outcomes[life]
    outcome.check()
    journal = outside.simulated(stack).world.journal(outcome.created.cluster_id or "")
    effects = Counter((row["effect"], row["kind"], row["name"]) for row in journal)
    assert set(effects.values()) == {1}, effects
    made = {(kind, name) for effect, kind, name in effects if effect == "created"}
    removed = {(kind, name) for effect, kind, name in effects if effect == "deleted"}
    assert removed == {thing for thing in made if thing[0] != "object"}
    kinds = Counter(kind for kind, _ in removed)
    assert kinds == Counter(machine=life.slots + life.nodes, volume=life.slots, endpoint=int(life.slots > 1))
