"""The registered clusters, and which of them were complete."""

import pytest

from activities.vault import inventory
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import ClaimRequest, Claims, VaultCleanup
from tests.activities.vault.support import Vault, new_cluster, reference
from tests.support.openbao import OpenBao


def find(vault: Vault, cluster: ClusterContext) -> Claims:
    """Return what is pinned."""
    return vault.run(names.FIND_CLAIMS, ClaimRequest(cluster=cluster), Claims)


def test_lists_what_lives_beside_a_name(bao: OpenBao, vault: Vault) -> None:
    first, second = new_cluster(owner="counted"), new_cluster(owner="counted")
    for cluster in (first, second):
        vault.run(names.CLAIM, ClaimRequest(cluster=cluster), Claims)
    beside = inventory(bao.settings).specs_beside("default", first.name)
    assert [spec for spec in beside if spec.owner == "counted"] == [second.spec]
    vault.do(names.RELEASE_CLAIMS, VaultCleanup(cluster=reference(second)))
    beside = inventory(bao.settings).specs_beside("default", first.name)
    assert [spec for spec in beside if spec.owner == "counted"] == []


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
