"""Claims: pinned, adopted, conflicting, released, and cut short at every request."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from activities.vault import Task
from activities.vault.registry import Registry
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import ClaimRequest, Claims, VaultCleanup
from planning.claims import QUARANTINE, candidates
from tests.activities.vault.records import Interrupted, LostError, MemoryRecords, die
from tests.activities.vault.support import Vault, new_cluster, reference

START = datetime(2026, 11, 23, tzinfo=UTC)


def claim(vault: Vault, cluster: ClusterContext) -> Claims:
    return vault.run(names.CLAIM, ClaimRequest(cluster=cluster), Claims)


def release(vault: Vault, cluster: ClusterContext) -> None:
    vault.do(names.RELEASE_CLAIMS, VaultCleanup(cluster=reference(cluster)))


def test_a_claim_pins_the_id_and_takes_a_network(vault: Vault) -> None:
    cluster = new_cluster()
    claims = claim(vault, cluster)
    assert claims == Claims(
        cluster_id=cluster.cluster_id, machine_network=next(candidates(cluster.cluster_id, "local")), adopted=False
    )
    entry = vault.client(Task.REGISTRY).read(f"clusters/default/{cluster.name}")
    assert entry is not None
    assert entry.data["clusterId"] == cluster.cluster_id
    kept = {key: entry.data[key] for key in ("owner", "provider", "release")}
    assert kept == {"owner": "acme", "provider": "simulated", "release": "1.37.2-1"}
    assert datetime.fromisoformat(entry.data["createdAt"]).tzinfo is not None


def test_a_second_claim_finds_the_first_and_its_id_wins(vault: Vault) -> None:
    first = new_cluster()
    claims = claim(vault, first)
    again = claim(vault, new_cluster(first.name))
    assert again == claims.model_copy(update={"adopted": True})


def test_find_returns_what_is_pinned_or_the_proposal(vault: Vault) -> None:
    first, second = new_cluster(), new_cluster()
    claims = claim(vault, first)
    found = vault.run(names.FIND_CLAIMS, ClaimRequest(cluster=new_cluster(first.name)), Claims)
    assert found == claims.model_copy(update={"adopted": True})
    nothing = vault.run(names.FIND_CLAIMS, ClaimRequest(cluster=second), Claims)
    assert nothing == Claims(cluster_id=second.cluster_id, machine_network="")


def test_a_name_of_another_owner_is_refused_and_not_found(vault: Vault) -> None:
    first = new_cluster()
    claim(vault, first)
    other = new_cluster(first.name, owner="umbrella")
    with pytest.raises(StepError, match="cluster of owner acme on provider simulated") as raised:
        claim(vault, other)
    assert raised.value.code is ErrorCode.NAME_CONFLICT
    found = vault.run(names.FIND_CLAIMS, ClaimRequest(cluster=other), Claims)
    assert found.cluster_id == other.cluster_id


def test_a_found_cluster_with_another_spec_is_refused_naming_the_fields(vault: Vault) -> None:
    first = new_cluster()
    claim(vault, first)
    with pytest.raises(StepError, match=r"spec\.controlPlane\.replicas") as raised:
        claim(vault, new_cluster(first.name, controlPlane={"replicas": 3}))
    assert raised.value.code is ErrorCode.INVALID_SPEC


def test_a_spec_that_is_not_accepted_any_more_is_in_nobodys_way_but_its_own() -> None:
    cluster, records = new_cluster(), MemoryRecords()
    registry = Registry(records)
    registry.claim(ClaimRequest(cluster=cluster))
    path = f"clusters/default/{cluster.name}"
    found = records.held[path]
    strange = {**found.data, "spec": {**found.data["spec"], "provider": "moon"}}
    records.write(path, strange, found.version)
    with pytest.raises(StepError, match=r"default/n.* refuses: provider: ") as raised:
        registry.claim(ClaimRequest(cluster=cluster))
    assert raised.value.code is ErrorCode.CONFIGURATION_BROKEN
    registry.complete(ClaimRequest(cluster=cluster))
    assert records.held[path].data["spec"]["provider"] == "moon"
    registry.release(VaultCleanup(cluster=reference(cluster)))
    assert registry.held(reference(cluster)) == ([], False)


def test_a_deleted_id_stays_deleted_and_its_name_is_free(vault: Vault) -> None:
    first = new_cluster()
    network = claim(vault, first).machine_network
    release(vault, first)
    release(vault, first)
    with pytest.raises(StepError) as raised:
        claim(vault, first)
    assert raised.value.code is ErrorCode.CLUSTER_DELETED
    second = claim(vault, new_cluster(first.name))
    assert second.cluster_id != first.cluster_id
    assert second.machine_network != network


def test_a_half_deleted_cluster_is_not_adopted_but_can_be_found_and_released(vault: Vault) -> None:
    cluster = vault.made(new_cluster())
    claims = claim(vault, cluster)
    for _ in range(2):
        vault.do(names.DELETE_SECRETS, VaultCleanup(cluster=reference(cluster)))
    with pytest.raises(StepError, match="is being deleted: send `delete`") as raised:
        claim(vault, new_cluster(cluster.name))
    assert raised.value.code is ErrorCode.CLUSTER_DELETED
    found = vault.run(names.FIND_CLAIMS, ClaimRequest(cluster=new_cluster(cluster.name)), Claims)
    assert found == claims.model_copy(update={"adopted": True})
    release(vault, cluster)
    assert claim(vault, new_cluster(cluster.name)).cluster_id != cluster.cluster_id


def test_a_late_deletion_marks_no_successor(vault: Vault) -> None:
    first = new_cluster()
    claim(vault, first)
    release(vault, first)
    successor = claim(vault, new_cluster(first.name))
    vault.do(names.DELETE_SECRETS, VaultCleanup(cluster=reference(first)))
    assert claim(vault, new_cluster(first.name)) == successor.model_copy(update={"adopted": True})


def test_a_release_leaves_a_successor_of_the_name_alone(vault: Vault) -> None:
    first = new_cluster()
    claim(vault, first)
    release(vault, first)
    successor = new_cluster(first.name)
    claims = claim(vault, successor)
    release(vault, first)
    assert claim(vault, successor) == claims.model_copy(update={"adopted": True})


def test_a_released_network_is_quarantined(vault: Vault) -> None:
    now = START
    registry = Registry(vault.client(Task.REGISTRY), lambda: now)
    first, second, third = new_cluster(), new_cluster(), new_cluster()
    network = registry.claim(ClaimRequest(cluster=first)).machine_network
    registry.release(VaultCleanup(cluster=reference(first)))
    with patch("activities.vault.registry.candidates", lambda *_: iter([network])):
        now = START + QUARANTINE - timedelta(seconds=1)
        assert registry.claim(ClaimRequest(cluster=second)).machine_network != network
        now = START + QUARANTINE
        assert registry.claim(ClaimRequest(cluster=third)).machine_network == network


@pytest.mark.parametrize("late", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_claim_cut_short_anywhere_is_completed_and_holds_one_network(vault: Vault, at: int, late: bool) -> None:
    cluster, records = new_cluster(), vault.client(Task.REGISTRY)
    with pytest.raises(LostError):
        Registry(Interrupted(records, at, die, late=late)).claim(ClaimRequest(cluster=cluster))
    claims = claim(vault, new_cluster(cluster.name))
    held = Registry(records).held(reference(new_cluster(cluster.name, claims.cluster_id)))
    assert held == ([claims.machine_network], True)


@pytest.mark.parametrize("late", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_release_cut_short_anywhere_is_completed(vault: Vault, at: int, late: bool) -> None:
    cluster, records = new_cluster(), vault.client(Task.REGISTRY)
    claim(vault, cluster)
    with pytest.raises(LostError):
        Registry(Interrupted(records, at, die, late=late)).release(VaultCleanup(cluster=reference(cluster)))
    release(vault, cluster)
    assert Registry(records).held(reference(cluster)) == ([], False)


@pytest.mark.parametrize("at", [6, 7])
def test_a_claim_that_comes_after_the_release_takes_nothing(at: int) -> None:
    cluster, records = new_cluster(), MemoryRecords()

    def delete() -> None:
        Registry(records).release(VaultCleanup(cluster=reference(cluster)))

    with pytest.raises(StepError):
        Registry(Interrupted(records, at, delete)).claim(ClaimRequest(cluster=cluster))
    assert Registry(records).held(reference(cluster)) == ([], False)


@pytest.mark.parametrize("at", range(1, 7))
def test_two_attempts_at_once_end_with_one_network(at: int) -> None:
    cluster, records, found = new_cluster(), MemoryRecords(), []

    def other_attempt() -> None:
        found.append(Registry(records).claim(ClaimRequest(cluster=cluster)).machine_network)

    first = Interrupted(records, at, other_attempt)
    with suppress(StepError):
        found.append(Registry(first).claim(ClaimRequest(cluster=cluster)).machine_network)
    assert len(set(found)) == 1
    assert Registry(records).held(reference(cluster)) == (found[:1], True)


class ClaimsMachine(RuleBasedStateMachine):
    """Clusters come and go in a world of six networks, with workers that die at any request."""

    def __init__(self) -> None:
        super().__init__()
        self.records = MemoryRecords()
        self.now = START
        self.proposed = 0
        self.living: dict[str, ClusterContext] = {}
        self.networks: dict[str, str] = {}
        self.released: dict[str, datetime] = {}
        self.narrow = patch(
            "planning.claims.machine_networks", lambda _: [f"127.64.{number}.0/24" for number in range(6)]
        )
        self.narrow.start()

    def teardown(self) -> None:
        self.narrow.stop()

    def registry(self, die_at: int, *, late: bool) -> Registry:
        return Registry(Interrupted(self.records, die_at, die, late=late), lambda: self.now)

    @rule(name=st.sampled_from(["a", "b", "c", "d", "e"]), die_at=st.integers(0, 12), late=st.booleans())
    def claim(self, name: str, die_at: int, late: bool) -> None:
        self.proposed += 1
        cluster = self.living.get(name) or new_cluster(name, f"c{self.proposed:011x}")
        try:
            claims = self.registry(die_at, late=late).claim(ClaimRequest(cluster=cluster))
        except LostError:
            return
        except StepError as error:
            if error.code is not ErrorCode.CAPACITY:
                raise
            return
        cluster = cluster.model_copy(update={"cluster_id": claims.cluster_id})
        known = self.networks.get(claims.cluster_id)
        assert known in (None, claims.machine_network), "a living cluster's network changed"
        if known is None:
            freed = self.released.get(claims.machine_network)
            assert freed is None or self.now - freed >= QUARANTINE, "a quarantined network was given away"
        self.living[name] = cluster
        self.networks[claims.cluster_id] = claims.machine_network

    @precondition(lambda self: self.living)
    @rule(data=st.data(), die_at=st.integers(0, 12), late=st.booleans())
    def release(self, data: st.DataObject, die_at: int, late: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.living)))
        cluster = self.living[name]
        cleanup = VaultCleanup(cluster=reference(cluster))
        try:
            self.registry(die_at, late=late).release(cleanup)
        except LostError:
            self.registry(0, late=False).release(cleanup)
        del self.living[name]
        self.released[self.networks.pop(cluster.cluster_id)] = self.now
        assert self.registry(0, late=False).held(reference(cluster)) == ([], False)

    @rule(minutes=st.integers(1, 15))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @invariant()
    def no_two_living_clusters_share_a_network(self) -> None:
        assert len(set(self.networks.values())) == len(self.networks)
        registry = self.registry(0, late=False)
        for cluster_id, network in self.networks.items():
            assert registry.holder(network) == cluster_id


TestClaims = ClaimsMachine.TestCase
TestClaims.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
