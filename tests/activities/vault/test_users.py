"""Certificates of people: the rules, and what is written down."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from activities.vault import Task
from activities.vault.client import VaultClient
from activities.vault.roles import user_role
from activities.vault.users import user_problems
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.vault import UserCertificate, UserCertificateRequest
from tests.activities.vault.certs import (
    alternative_names,
    common_name,
    greedy_request,
    organizations,
    parse,
    signing_request,
    usages,
)
from tests.activities.vault.support import Vault, new_cluster
from tests.support.openbao import OpenBao

REQUEST = signing_request()
CLUSTER = new_cluster()

names_of_people = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,62}", fullmatch=True)
names_of_groups = st.from_regex(r"[a-z0-9][A-Za-z0-9._-]{0,62}", fullmatch=True)


def ask(cluster: ClusterContext = CLUSTER, **fields: Any) -> UserCertificateRequest:
    return UserCertificateRequest(**{"cluster": cluster, "request": REQUEST, "user": "alice", **fields})


def sign(vault: Vault, cluster: ClusterContext, **fields: Any) -> UserCertificate:
    return vault.run(names.SIGN_USER_CERTIFICATE, ask(cluster, **fields), UserCertificate)


def test_a_user_gets_a_client_certificate_with_what_a_kubeconfig_needs(vault: Vault, made: ClusterContext) -> None:
    answer = sign(vault, made, user="alice@example.com", groups=["devs", "oidc:ops"], ttl_seconds=900)
    certificate = parse(answer.certificate)
    certificate.verify_directly_issued_by(parse(answer.authority))
    assert common_name(certificate) == "alice@example.com"
    assert organizations(certificate) == ["devs", "oidc:ops"]
    assert usages(certificate) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert alternative_names(certificate) == set()
    assert answer.endpoint == "https://127.64.1.11:6443"
    assert int(answer.serial.replace(":", ""), 16) == certificate.serial_number
    assert datetime.fromisoformat(answer.not_after) == certificate.not_valid_after_utc
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert abs(left - timedelta(seconds=900)) < timedelta(seconds=30)


def test_only_the_key_of_a_request_counts(vault: Vault, made: ClusterContext) -> None:
    certificate = parse(sign(vault, made, request=greedy_request(), groups=[]).certificate)
    assert certificate.subject.rfc4514_string() == "CN=alice"
    assert alternative_names(certificate) == set()


@given(names_of_people, st.lists(names_of_groups, max_size=16), st.integers(60, 3600))
def test_ordinary_names_are_allowed(user: str, groups: list[str], ttl: int) -> None:
    assert user_problems(ask(user=user, groups=groups, ttl_seconds=ttl)) == []


@given(
    st.sampled_from(["system:", "giantnetes:", "System:", "SYSTEM:"]),
    st.from_regex(r"[a-z-]{0,20}", fullmatch=True),
)
def test_reserved_groups_want_break_glass(prefix: str, rest: str) -> None:
    (problem,) = user_problems(ask(groups=["devs", prefix + rest]))
    assert "--break-glass" in problem
    assert user_problems(ask(groups=[prefix + rest], break_glass=True)) == []


@pytest.mark.parametrize("break_glass", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"user": "system:admin"},
        {"user": "System:node:workers-1"},
        {"user": ""},
        {"user": "a b"},
        {"user": "alice,bob"},
        {"user": "*"},
        {"user": "x" * 64},
        {"user": "alice\n"},
        {"groups": [""]},
        {"groups": ["a,system:masters"]},
        {"groups": ["devs\n"]},
        {"groups": ["g"] * 17},
        {"ttl_seconds": 3601},
        {"ttl_seconds": 59},
        {"ttl_seconds": -1},
        {"request": "nonsense"},
        {"cluster": CLUSTER.model_copy(update={"machine_network": ""})},
    ],
    # Ids must be the same in every process, and the cluster's own id is made anew in each.
    ids=lambda fields: "no network" if "cluster" in fields else str(fields),
)
def test_faulty_requests_are_refused_and_nothing_is_asked_of_vault(
    vault: Vault, fields: dict[str, Any], break_glass: bool
) -> None:
    with pytest.raises(StepError) as raised:
        vault.run(names.SIGN_USER_CERTIFICATE, ask(**fields, break_glass=break_glass), UserCertificate)
    assert raised.value.code is ErrorCode.INVALID_SPEC
    assert raised.value.message.split(":")[0] in ("user", "groups", "ttlSeconds", "request", "cluster")


def test_every_fault_is_named_at_once() -> None:
    problems = user_problems(ask(user="", groups=["system:masters"], ttl_seconds=0, request=""))
    assert [problem.split(":")[0] for problem in problems] == ["request", "user", "groups", "ttlSeconds"]


def test_a_users_role_signs_no_other_user_and_no_longer_life(vault: Vault, made: ClusterContext) -> None:
    role, content = user_role(ask(made, user="carol", groups=["devs"]))
    signer, mount = vault.client(Task.SIGNER), f"pki/{made.cluster_id}/kubernetes"
    vault.client(Task.MOUNT_ADMIN).write_role(mount, role, content)
    with pytest.raises(StepError, match="common name alice not allowed"):
        signer.sign(mount, role, REQUEST, "alice", {})
    certificate = parse(signer.sign(mount, role, REQUEST, "carol", {"ttl": "24h"}).certificate)
    assert certificate.not_valid_after_utc - datetime.now(UTC) <= timedelta(hours=1)


def test_each_request_has_a_role_of_its_own_and_another_attempt_the_same() -> None:
    requests = [ask(groups=["b"]), ask(groups=["c"]), ask(user="b"), ask(request=signing_request()), ask()]
    assert len({user_role(request)[0] for request in requests}) == len(requests)
    assert user_role(ask()) == user_role(ask())


def test_no_role_is_left_with_which_the_signer_alone_could_sign_again(
    bao: OpenBao, vault: Vault, made: ClusterContext
) -> None:
    mount = f"pki/{made.cluster_id}/kubernetes"
    request = ask(made, groups=["system:masters"], break_glass=True)
    vault.run(names.SIGN_USER_CERTIFICATE, request, UserCertificate)
    away = patch.object(VaultClient, "sign", side_effect=StepError(ErrorCode.VAULT_UNAVAILABLE, "away"))
    with away, pytest.raises(StepError, match="away"):
        vault.run(names.SIGN_USER_CERTIFICATE, request, UserCertificate)
    roles = bao.root.secrets.pki.list_roles(mount_point=mount)["data"]["keys"]
    assert user_role(request)[0] not in roles
    with pytest.raises(StepError, match="unknown role"):
        vault.client(Task.SIGNER).sign(mount, user_role(request)[0], REQUEST, "alice", {})


def test_a_signature_is_logged_without_the_certificate(vault: Vault, made: ClusterContext) -> None:
    with capture_logs() as logs:
        answer = sign(vault, made, groups=["devs"])
    (line,) = logs
    assert line["log_level"] == "info"
    assert (line["user"], line["groups"], line["serial"]) == ("alice", ["devs"], answer.serial)
    assert line["until"] == answer.not_after
    assert "BEGIN" not in str(logs)


def test_breaking_the_glass_works_and_is_logged_as_a_warning(vault: Vault, made: ClusterContext) -> None:
    with capture_logs() as logs:
        answer = sign(vault, made, groups=["system:masters"], break_glass=True)
    assert organizations(parse(answer.certificate)) == ["system:masters"]
    (line,) = logs
    assert (line["log_level"], line["user"], line["groups"]) == ("warning", "alice", ["system:masters"])
