"""The world outlives those who work on it, and has nothing twice."""

import multiprocessing
import os
import sqlite3
import stat
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from activities.simulated import commands
from activities.simulated.provider import SimulatedProvider
from activities.simulated.world import World, note
from api.errors import ErrorCode
from contracts.errors import StepError
from nodes.machine.keys import make_sealing_key
from tests.contract.clusters import TestCluster
from tests.contract.rooms import SimulatedRoom


def test_nothing_is_made_twice_by_many_at_once(room: SimulatedRoom, cluster: TestCluster) -> None:
    machines = [*cluster.slots, *cluster.nodes] * 8
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda machine: cluster.ensure(room.provider(), machine), machines))
    effects = Counter((row["effect"], row["kind"], row["name"]) for row in World(room.path).journal(cluster.id))
    assert set(effects.values()) == {1}
    assert len(effects) == len(cluster.slots) * 2 + len(cluster.nodes)


def test_the_journal_tells_what_was_made_and_removed(provider: SimulatedProvider, cluster: TestCluster) -> None:
    provider.ensure_endpoint(cluster.context, cluster.slots)
    cluster.ensure(provider, cluster.slots[0])
    provider.delete_all(cluster.id)
    told = [(row["effect"], row["kind"], row["name"]) for row in provider.world.journal(cluster.id)]
    assert told == [
        ("created", "endpoint", "endpoint"),
        ("created", "machine", "control-plane-1"),
        ("created", "volume", "control-plane-1"),
        ("deleted", "endpoint", "endpoint"),
        ("deleted", "machine", "control-plane-1"),
        ("deleted", "volume", "control-plane-1"),
    ]
    assert provider.world.journal("another") == []


def test_an_address_can_not_be_given_twice(room: SimulatedRoom, cluster: TestCluster) -> None:
    cluster.ensure(room.provider(), cluster.nodes[0])
    twin = TestCluster("simulated", cluster.context.machine_network)
    with pytest.raises(StepError) as raised:
        twin.ensure(room.provider(), twin.nodes[0])
    assert raised.value.code is ErrorCode.ADDRESS_IN_USE


def _die_in_the_middle(path: Path) -> None:
    with World(path).transaction() as database:
        note(database, "created", "machine", "c1", "workers-1")
        os._exit(9)


def test_a_worker_that_dies_within_a_call_leaves_nothing(room: SimulatedRoom) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=_die_in_the_middle, args=(room.path,))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 9
    assert World(room.path).journal() == []
    with World(room.path).transaction() as database:
        note(database, "created", "machine", "c1", "workers-1")
    assert len(World(room.path).journal()) == 1


def test_nobody_else_can_read_it(room: SimulatedRoom, cluster: TestCluster) -> None:
    cluster.boot(room.provider(), cluster.slots[0])
    for file in room.path.parent.glob("world.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_world_that_somebody_else_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "world.db")
    monkeypatch.setattr("activities.simulated.world.BUSY_SECONDS", 0.05)
    with world.transaction(), pytest.raises(StepError, match="database is locked") as raised:
        world.journal()
    assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE


def test_a_world_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "world.db")
    connect = world._connect

    def small() -> sqlite3.Connection:
        database = connect()
        database.execute("PRAGMA max_page_count = 1")
        return database

    monkeypatch.setattr(world, "_connect", small)
    with pytest.raises(StepError, match="full") as raised, world.transaction() as database:
        note(database, "created", "machine", "c1", "x" * 100_000)
    assert raised.value.code is ErrorCode.DISK_FULL
    assert world.journal() == []


def test_keys_are_made_while_others_can_work(
    room: SimulatedRoom, cluster: TestCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One key of RSA takes longer than everything else that a simulated machine does."""
    provider, made = room.provider(), []

    def make() -> bytes:
        made.append(provider.world.journal())
        return make_sealing_key()

    monkeypatch.setattr("activities.simulated.world.BUSY_SECONDS", 0.2)
    monkeypatch.setattr(commands, "make_sealing_key", make)
    first = cluster.boot(provider, cluster.slots[0])
    again = cluster.requests(provider, cluster.slots[0])
    assert again.sealing_certificate == first.sealing_certificate
    assert len(made) == 1
