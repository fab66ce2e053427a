"""Room under a quota: taken without a race, given back, and found again after a worker's death."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.vault import Task
from activities.vault.quotas import FRESH
from activities.vault.registry import Registry
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import ClaimRequest, VaultCleanup
from planning.files import read_model
from planning.quotas import Quota, Quotas
from tests.activities.vault.records import Interrupted, LostError, MemoryRecords, die
from tests.activities.vault.support import Vault, new_cluster, reference

START = datetime(2026, 11, 26, tzinfo=UTC)


def bounded(clusters: int) -> Callable[[], Quotas]:
    return lambda: Quotas(default=Quota(clusters=clusters))


def claim(registry: Registry, cluster: ClusterContext) -> bool:
    """Claim for a cluster; says whether there was room."""
    try:
        registry.claim(ClaimRequest(cluster=cluster))
    except StepError as error:
        if error.code is not ErrorCode.QUOTA_EXCEEDED:
            raise
        return False
    return True


def release(registry: Registry, cluster: ClusterContext) -> None:
    registry.release(VaultCleanup(cluster=reference(cluster)))


@pytest.mark.parametrize("workers", [1, 4])
def test_of_many_at_once_as_many_are_let_in_as_there_is_room_for(vault: Vault, workers: int) -> None:
    """Workers are processes: each has a login and a lock of its own, and they meet in Vault."""
    owner = f"raced-{workers}"
    clusters = [new_cluster(owner=owner) for _ in range(24)]
    registries = [Registry(vault.client(Task.REGISTRY), quotas=bounded(5)) for _ in range(workers)]

    def try_until_answered(number: int) -> bool:
        while True:
            try:
                return claim(registries[number % workers], clusters[number])
            except StepError as error:
                if not error.retryable:
                    raise

    with ThreadPoolExecutor(12) as pool:
        let_in = list(pool.map(try_until_answered, range(len(clusters))))
    assert sum(let_in) == 5
    release(registries[0], clusters[let_in.index(True)])
    assert [claim(registries[0], new_cluster(owner=owner)) for _ in range(2)] == [True, False]


def test_a_cluster_is_counted_once_and_stays_when_a_quota_is_lowered() -> None:
    records, cluster = MemoryRecords(), new_cluster()
    registry = Registry(records, quotas=bounded(1))
    assert claim(registry, cluster)
    assert claim(registry, cluster)
    assert claim(Registry(records, quotas=bounded(0)), new_cluster(cluster.name))
    assert list(records.held["quotas/acme"].data["clusters"]) == [cluster.cluster_id]
    assert not claim(registry, new_cluster())


def test_an_owner_and_a_namespace_have_room_of_their_own() -> None:
    records = MemoryRecords()
    quotas = Quotas(default=Quota(cores=12), namespaces={"team-a": Quota(machines=3)})
    registry = Registry(records, quotas=lambda: quotas)
    in_team = [new_cluster().model_copy(update={"namespace": "team-a"}) for _ in range(2)]
    assert [claim(registry, cluster) for cluster in in_team] == [True, False]
    assert [claim(registry, new_cluster()) for _ in range(2)] == [True, False]
    assert claim(registry, new_cluster(owner="umbrella"))


def test_a_record_that_is_missing_is_made_from_the_registry() -> None:
    records, registered = MemoryRecords(), [new_cluster() for _ in range(3)]
    registry = Registry(records)
    for cluster in (*registered, new_cluster(owner="umbrella")):
        claim(registry, cluster)
    release(registry, registered[2])
    before = records.held.pop("quotas/acme").data["clusters"]
    assert claim(Registry(records, quotas=bounded(3)), new_cluster())
    after = records.held["quotas/acme"].data["clusters"]
    assert [{**after[key], "reservedAt": ""} for key in before] == [
        {**taken, "reservedAt": ""} for taken in before.values()
    ]
    assert not claim(Registry(records, quotas=bounded(3)), new_cluster())


def test_an_entry_that_can_not_be_counted_is_named() -> None:
    records = MemoryRecords()
    records.write("clusters/default/odd", {"owner": "acme", "clusterId": "c1", "spec": {"nodePools": 7}}, 0)
    with pytest.raises(StepError, match="clusters/default/odd in Vault") as error:
        claim(Registry(records), new_cluster())
    assert error.value.code is ErrorCode.CONFIGURATION_BROKEN


@pytest.mark.parametrize("late", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(1, 8))
def test_room_that_a_dead_worker_took_is_found_again(at: int, late: bool) -> None:
    records, now = MemoryRecords(), START
    registry = Registry(records, lambda: now, bounded(1))
    with pytest.raises(LostError):
        Registry(Interrupted(records, at, die, late=late), lambda: now, bounded(1)).claim(
            ClaimRequest(cluster=(cluster := new_cluster()))
        )
    registered = registry.pinned("default", cluster.name) != ""
    now += FRESH + timedelta(seconds=1)
    assert claim(registry, new_cluster()) is not registered
    if registered:
        release(registry, cluster)
        assert claim(registry, new_cluster())


def test_room_that_an_attempt_is_about_to_use_is_not_taken_from_it() -> None:
    records, now = MemoryRecords(), START
    registry = Registry(records, lambda: now, bounded(1))

    def other_attempt() -> None:
        assert not claim(registry, new_cluster())

    assert claim(Registry(Interrupted(records, 5, other_attempt), lambda: now, bounded(1)), new_cluster())


def test_room_that_was_taken_and_not_used_is_asked_for_again() -> None:
    """The registry could not be written for long, and another cluster took the room: it is not there twice."""
    records, now = MemoryRecords(), START
    registry, late = Registry(records, lambda: now, bounded(1)), new_cluster()
    with pytest.raises(LostError):
        Registry(Interrupted(records, 5, die), lambda: now, bounded(1)).claim(ClaimRequest(cluster=late))
    assert list(records.held["quotas/acme"].data["clusters"]) == [late.cluster_id]
    now += FRESH + timedelta(seconds=1)

    class OthersFirst(MemoryRecords):
        """Lets another cluster be claimed when this one is about to be registered."""

        def write(self, path: str, data: Mapping[str, Any], version: int) -> bool:
            if path.startswith("clusters/"):
                let_in.append(claim(registry, new_cluster()))
            return records.write(path, data, version)

    let_in: list[bool] = []
    between = OthersFirst()
    between.held = records.held
    # Its next attempt takes the room anew: nobody may drop it while that one is on its way to the registry.
    assert claim(Registry(between, lambda: now, bounded(1)), late)
    assert let_in == [False]


def test_room_that_another_one_took_meanwhile_is_gone() -> None:
    records, now = MemoryRecords(), START
    registry, late = Registry(records, lambda: now, bounded(1)), new_cluster()
    with pytest.raises(LostError):
        Registry(Interrupted(records, 5, die), lambda: now, bounded(1)).claim(ClaimRequest(cluster=late))
    now += FRESH + timedelta(seconds=1)
    assert claim(registry, new_cluster())
    assert not claim(registry, late)


def test_room_for_a_smaller_cluster_is_not_room_for_a_larger_one() -> None:
    """A cluster whose claim was cut short may be applied with another spec before it is claimed again."""
    records, small = MemoryRecords(), new_cluster()
    quotas = Quotas(default=Quota(machines=10))
    with pytest.raises(LostError):
        Registry(Interrupted(records, 5, die), quotas=lambda: quotas).claim(ClaimRequest(cluster=small))
    registry = Registry(records, quotas=lambda: quotas)
    pools = [{"name": "workers", "replicas": 100}]
    large = new_cluster(small.name, small.cluster_id, nodePools=pools)
    assert not claim(registry, large)
    assert claim(registry, new_cluster(small.name, small.cluster_id, nodePools=[{"name": "w", "replicas": 9}]))
    assert not claim(registry, new_cluster())


def test_owners_don_t_wait_for_each_other() -> None:
    """Vault may keep one owner's record waiting; another owner's cluster is claimed meanwhile."""
    records = MemoryRecords()

    def other_owner() -> None:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(claim, registry, new_cluster(owner="umbrella")).result(5)

    registry = Registry(Interrupted(records, 2, other_owner))
    assert claim(registry, new_cluster())


@pytest.mark.parametrize("late", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(1, 8))
def test_a_release_cut_short_anywhere_gives_the_room_back_when_it_is_done(at: int, late: bool) -> None:
    records, cluster = MemoryRecords(), new_cluster()
    registry = Registry(records, quotas=bounded(1))
    claim(registry, cluster)
    interrupted = Interrupted(records, at, die, late=late)
    try:
        release(Registry(interrupted), cluster)
    except LostError:
        release(registry, cluster)
    assert records.held["quotas/acme"].data["clusters"] == {}
    assert claim(registry, new_cluster())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("default: {clusters: many}", "default.clusters: Input should be a valid integer"),
        ("default: {clusters: 1", "it is no YAML, see line 1"),
        ("\x00", "it is no YAML"),
        (None, "No such file or directory"),
    ],
)
def test_a_broken_file_of_quotas_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    quotas = tmp_path / "quotas.yaml"
    if content is not None:
        quotas.write_text(content)
    registry = Registry(MemoryRecords(), quotas=lambda: read_model(quotas, Quotas))
    with pytest.raises(StepError) as error:
        claim(registry, new_cluster())
    assert error.value.message.startswith(f"{quotas} can't be used: ")
    assert words in error.value.message
    assert (error.value.code, error.value.retryable) == (ErrorCode.CONFIGURATION_BROKEN, True)
