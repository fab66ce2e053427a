"""Our own client certificates: kinds, lifetimes, and how long they are kept."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from activities.vault import Task, worker_identities
from activities.vault.identity import Identities
from activities.vault.roles import SHORT_TTL_SECONDS
from contracts.certificates import CERTIFICATES
from contracts.context import ClusterContext
from tests.activities.vault.certs import common_name, organizations, parse
from tests.activities.vault.support import Vault
from tests.support.openbao import OpenBao


def test_the_kinds_are_those_that_no_machine_holds() -> None:
    assert set(SHORT_TTL_SECONDS) == {name for name, item in CERTIFICATES.items() if item.holder is None}


@pytest.mark.parametrize("name", SHORT_TTL_SECONDS)
def test_an_identity_is_a_matching_pair_with_its_ca(bao: OpenBao, made: ClusterContext, name: str) -> None:
    identity = worker_identities(bao.settings).client_certificate(made, name, 300)
    certificate, item = parse(identity.cert_pem), CERTIFICATES[name]
    certificate.verify_directly_issued_by(parse(identity.ca_pem))
    assert load_pem_private_key(identity.key_pem.encode(), None).public_key() == certificate.public_key()
    assert common_name(certificate) == item.common_name
    assert organizations(certificate) == ([item.organization] if item.organization else [])
    assert identity.not_after == certificate.not_valid_after_utc
    assert abs(identity.not_after - datetime.now(UTC) - timedelta(seconds=300)) < timedelta(seconds=30)
    assert identity.key_pem not in repr(identity)


@pytest.mark.parametrize("name", SHORT_TTL_SECONDS)
def test_an_identity_lives_for_ten_minutes_at_most(vault: Vault, made: ClusterContext, name: str) -> None:
    identity = Identities(vault.client(Task.PROBER)).client_certificate(made, name, 3600)
    assert identity.not_after - datetime.now(UTC) <= timedelta(minutes=10)


def test_an_identity_is_kept_for_half_its_life(vault: Vault, made: ClusterContext) -> None:
    now = datetime.now(UTC)
    identities = Identities(vault.client(Task.PROBER), lambda: now)
    first = identities.client_certificate(made, "admin", 600)
    assert identities.client_certificate(made, "etcd-healthcheck-client", 600) != first
    now += timedelta(seconds=280)
    assert identities.client_certificate(made, "admin", 600) is first
    now += timedelta(seconds=40)
    assert identities.client_certificate(made, "admin", 600) is not first


def test_what_machines_hold_is_not_ours_to_make(vault: Vault, made: ClusterContext) -> None:
    with pytest.raises(ValueError, match="held by machines"):
        Identities(vault.client(Task.PROBER)).client_certificate(made, "kube-scheduler", 60)
