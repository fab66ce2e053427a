"""CAs: made once, completed, found again, removed; and how long that takes."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from statistics import median

import pytest
from cryptography import x509

from activities.vault import Task
from activities.vault.roles import ROOT_TTL, authority_roles
from api.errors import ErrorCode
from contracts import activities as names
from contracts.certificates import CERTIFICATES
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import Authority, AuthorityFacts, AuthorityRequest, VaultCleanup
from tests.activities.vault.certs import common_name, organizations, parse
from tests.activities.vault.support import Vault, new_cluster, reference
from tests.support.openbao import OpenBao


def ensure(vault: Vault, cluster: ClusterContext, authority: Authority) -> AuthorityFacts:
    request = AuthorityRequest(cluster=cluster, authority=authority)
    return vault.run(names.ENSURE_AUTHORITY, request, AuthorityFacts)


def issuers(bao: OpenBao, cluster: ClusterContext, authority: Authority) -> list[str]:
    mount = f"pki/{cluster.cluster_id}/{authority}"
    return list(bao.root.secrets.pki.list_issuers(mount_point=mount)["data"]["keys"])


def roles(bao: OpenBao, cluster: ClusterContext, authority: Authority) -> dict[str, object]:
    pki, mount = bao.root.secrets.pki, f"pki/{cluster.cluster_id}/{authority}"
    return {
        name: pki.read_role(name, mount_point=mount)["data"]
        for name in pki.list_roles(mount_point=mount)["data"]["keys"]
    }


@pytest.mark.parametrize("authority", Authority)
def test_a_ca_is_a_p256_root_of_ten_years_that_signs_leaves_only(vault: Vault, authority: Authority) -> None:
    cluster = new_cluster()
    certificate = parse(ensure(vault, cluster, authority).certificate)
    assert common_name(certificate) == f"{cluster.name} {authority} CA"
    assert organizations(certificate) == [cluster.cluster_id]
    assert certificate.issuer == certificate.subject
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert timedelta(days=3649) < lifetime < timedelta(days=3652)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_every_certificate_has_a_role_in_the_mount_of_its_authority(bao: OpenBao, made: ClusterContext) -> None:
    for authority in Authority:
        expected = {name for name, item in CERTIFICATES.items() if item.authority is authority}
        assert set(roles(bao, made, authority)) == expected


def test_a_second_call_finds_everything_and_changes_nothing(bao: OpenBao, vault: Vault) -> None:
    cluster = new_cluster()
    for authority in Authority:
        first = ensure(vault, cluster, authority)
        before = roles(bao, cluster, authority)
        assert ensure(vault, cluster, authority) == first
        assert roles(bao, cluster, authority) == before
        assert len(issuers(bao, cluster, authority)) == 1


def test_calls_at_once_make_one_root(bao: OpenBao, vault: Vault) -> None:
    cluster = new_cluster()
    with ThreadPoolExecutor(6) as pool:
        facts = list(pool.map(lambda _: ensure(vault, cluster, Authority.ETCD), range(6)))
    assert len({fact.certificate for fact in facts}) == 1
    assert len(issuers(bao, cluster, Authority.ETCD)) == 1


@pytest.mark.parametrize("made_so_far", ["mount", "root", "some roles"])
def test_a_half_made_authority_is_completed(bao: OpenBao, vault: Vault, made_so_far: str) -> None:
    cluster, admin = new_cluster(), vault.client(Task.MOUNT_ADMIN)
    mount = f"pki/{cluster.cluster_id}/kubernetes"
    admin.mount_authority(mount, "half-made", ROOT_TTL)
    if made_so_far == "root":
        admin.generate_root(mount, "half-made", {"issuer_name": "root", "key_type": "ec", "key_bits": 256})
    if made_so_far == "some roles":
        admin.write_role(mount, "admin", authority_roles(cluster, Authority.KUBERNETES)["admin"])
    certificate = parse(ensure(vault, cluster, Authority.KUBERNETES).certificate)
    assert (common_name(certificate) == "half-made") is (made_so_far == "root")
    assert len(issuers(bao, cluster, Authority.KUBERNETES)) == 1
    assert set(roles(bao, cluster, Authority.KUBERNETES)) == set(authority_roles(cluster, Authority.KUBERNETES))


def test_roles_follow_the_spec(bao: OpenBao, vault: Vault) -> None:
    cluster = new_cluster(nodePools=[{"name": "old"}])
    ensure(vault, cluster, Authority.KUBERNETES)
    changed = new_cluster(cluster.name, cluster.cluster_id, nodePools=[{"name": "old"}, {"name": "new"}])
    ensure(vault, changed, Authority.KUBERNETES)
    role = bao.root.secrets.pki.read_role("kubelet-client", mount_point=f"pki/{cluster.cluster_id}/kubernetes")
    assert role["data"]["allowed_domains"] == ["system:node:new-*", "system:node:old-*"]


def test_deleting_removes_all_mounts_again_and_again(bao: OpenBao, vault: Vault) -> None:
    cluster = new_cluster()
    for authority in (Authority.KUBERNETES, Authority.FRONT_PROXY):
        ensure(vault, cluster, authority)
    for _ in range(2):
        vault.do(names.DELETE_AUTHORITIES, VaultCleanup(cluster=reference(cluster)))
    mounts = bao.root.sys.list_mounted_secrets_engines()["data"]
    assert not [mount for mount in mounts if cluster.cluster_id in mount]


def test_an_id_that_would_reach_elsewhere_is_refused(vault: Vault) -> None:
    for cluster_id in ("", "a/b", "..", "A", "x" * 64):
        cluster = new_cluster().model_copy(update={"cluster_id": cluster_id})
        with pytest.raises(StepError, match="can't be an id") as raised:
            ensure(vault, cluster, Authority.ETCD)
        assert raised.value.code is ErrorCode.INVALID_SPEC
        with pytest.raises(StepError, match="can't be an id"):
            vault.do(names.DELETE_AUTHORITIES, VaultCleanup(cluster=reference(cluster)))


def test_all_three_are_made_within_the_time_that_a_create_has_for_them(vault: Vault) -> None:
    def timed(cluster: ClusterContext) -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda authority: ensure(vault, cluster, authority), Authority))
        return time.perf_counter() - start

    assert median(timed(new_cluster()) for _ in range(5)) < 0.6
