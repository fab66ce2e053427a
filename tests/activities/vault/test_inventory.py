"""What a name is registered for, and whether it was ever complete."""

import pytest

from activities.vault import Task, inventory
from activities.vault.inventory import Inventory
from activities.vault.registry import Registry
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import ClaimRequest, Claims, VaultCleanup
from planning.decide import Standing
from tests.activities.vault.records import MemoryRecords
from tests.activities.vault.support import Vault, new_cluster, reference
from tests.support.openbao import OpenBao


def find(vault: Vault, cluster: ClusterContext) -> Claims:
    """Return what is pinned."""
    return vault.run(names.FIND_CLAIMS, ClaimRequest(cluster=cluster), Claims)


def test_a_name_stands_for_what_is_registered_until_it_is_released(bao: OpenBao, vault: Vault) -> None:
    cluster, look = new_cluster(), inventory(bao.settings)
    assert look.standing("default", cluster.name) is None
    vault.run(names.CLAIM, ClaimRequest(cluster=cluster), Claims)
    assert look.standing("default", cluster.name) == Standing("acme", complete=False)
    vault.do(names.RECORD_COMPLETE, ClaimRequest(cluster=cluster))
    assert look.standing("default", cluster.name) == Standing("acme", complete=True)
    vault.do(names.RELEASE_CLAIMS, VaultCleanup(cluster=reference(cluster)))
    assert look.standing("default", cluster.name) is None


def test_of_an_entry_only_what_is_needed_is_read() -> None:
    records = MemoryRecords()
    records.write("clusters/default/a", {"owner": "acme", "spec": "odd", "networks": "gone"}, 0)
    records.write("clusters/default/b", {"owner": 1}, 0)
    assert Inventory(records).standing("default", "a") == Standing("acme", complete=False)
    with pytest.raises(StepError, match="clusters/default/b") as error:
        Inventory(records).standing("default", "b")
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


def test_a_cluster_is_found_as_it_was_made_until_it_is_deleted(bao: OpenBao, vault: Vault) -> None:
    cluster, look = new_cluster(controlPlane={"replicas": 3}), inventory(bao.settings)
    assert look.cluster("default", cluster.name) is None
    claims = vault.run(names.CLAIM, ClaimRequest(cluster=cluster), Claims)
    update = {"machine_network": claims.machine_network, "endpoint_host": 10}
    assert look.cluster("default", cluster.name) == cluster.model_copy(update=update)
    Registry(vault.client(Task.REGISTRY)).mark_deleting(reference(cluster))
    with pytest.raises(StepError, match="is being deleted") as error:
        look.cluster("default", cluster.name)
    assert error.value.code is ErrorCode.CLUSTER_DELETED
    vault.do(names.RELEASE_CLAIMS, VaultCleanup(cluster=reference(cluster)))
    assert look.cluster("default", cluster.name) is None
