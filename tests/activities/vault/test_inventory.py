"""The registered clusters, and which of them were complete."""

import pytest

from activities.vault import inventory
from activities.vault.inventory import read_holding
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import ClaimRequest, Claims, VaultCleanup
from planning.quotas import Holding
from tests.activities.vault.support import Vault, new_cluster, reference
from tests.support.openbao import OpenBao


def find(vault: Vault, cluster: ClusterContext) -> Claims:
    """Return what is pinned."""
    return vault.run(names.FIND_CLAIMS, ClaimRequest(cluster=cluster), Claims)


def test_lists_what_lives_beside_a_name(bao: OpenBao, vault: Vault) -> None:
    first, second = new_cluster(owner="counted"), new_cluster(owner="counted")
    for cluster in (first, second):
        vault.run(names.CLAIM, ClaimRequest(cluster=cluster), Claims)
    found = inventory(bao.settings).registered("default", first.name)
    counted = sorted((holding for holding in found if holding.owner == "counted"), key=lambda found: found.own)
    assert counted == [Holding("counted", 3), Holding("counted", 3, own=True)]
    vault.do(names.RELEASE_CLAIMS, VaultCleanup(cluster=reference(second)))
    found = inventory(bao.settings).registered("default", first.name)
    assert [holding for holding in found if holding.owner == "counted"] == [Holding("counted", 3, own=True)]


def test_of_an_entry_only_what_is_counted_is_read() -> None:
    spec = {"controlPlane": {"replicas": 3, "colour": 1}, "nodePools": [{"replicas": 4}, {}], "provider": "moon"}
    entry = {"owner": "acme", "spec": spec, "networks": "gone", "releasedAt": None}
    assert read_holding("p", entry, own=False) == Holding("acme", 8)
    assert read_holding("p", {"releasedAt": "2026-11-25T00:00:00Z"}, own=False) is None
    with pytest.raises(StepError, match="clusters/default/x") as error:
        read_holding("clusters/default/x", {"owner": 1}, own=False)
    assert error.value.code is ErrorCode.CONFIGURATION_BROKEN


def test_a_cluster_is_complete_once_that_was_recorded(vault: Vault) -> None:
    cluster = new_cluster()
    vault.run(names.CLAIM, ClaimRequest(cluster=cluster), Claims)
    assert not find(vault, cluster).complete
    for _ in range(2):
        vault.do(names.RECORD_COMPLETE, ClaimRequest(cluster=cluster))
        assert find(vault, cluster).complete


def test_what_is_released_can_not_be_completed(vault: Vault) -> None:
    cluster = new_cluster()
    vault.run(names.CLAIM, ClaimRequest(cluster=cluster), Claims)
    vault.do(names.RELEASE_CLAIMS, VaultCleanup(cluster=reference(cluster)))
    with pytest.raises(StepError) as error:
        vault.do(names.RECORD_COMPLETE, ClaimRequest(cluster=cluster))
    assert error.value.code is ErrorCode.CLUSTER_DELETED
