"""Bad days: Vault sealed, down, slow, denying or out of disk, as a sentence with a name and no secret."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from hvac import exceptions

from activities.vault import AppRoles, ServiceAccount, Task, VaultSettings
from activities.vault.client import VaultClient
from activities.vault.errors import translate
from api.certificate import CertificateSpec
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import Placements
from contracts.errors import StepError
from contracts.hypervisors import (
    ClusterNetworks,
    Debt,
    EnrolRequest,
    HypervisorRecord,
    HypervisorRecords,
    HypervisorReference,
    Mark,
    MarkRequest,
    PlaceRequest,
    SiteReference,
    SweptRequest,
    Vacated,
    VacateRequest,
)
from contracts.issuing import ClientCertificate, ClientSigningRequest, IssueRequest
from contracts.machines import ClusterReference, Leftovers, MachinePlan, MachineRole
from contracts.reporting import ResourceReference
from contracts.vault import (
    Authority,
    AuthorityFacts,
    AuthorityRequest,
    ClaimRequest,
    Claims,
    SealedSecrets,
    SealRequest,
    SignedCertificates,
    SigningRequest,
    UserCertificate,
    UserCertificateRequest,
    VaultCleanup,
)
from tests.activities.vault.certs import signing_request
from tests.activities.vault.site import SITE, facts
from tests.activities.vault.support import Vault, new_cluster, reference
from tests.support.openbao import OpenBao, free_port

CLUSTER = new_cluster()
SLOT = MachinePlan(name="control-plane-1", role=MachineRole.CONTROL_PLANE, host=11)
NODE = MachinePlan(name="workers-1", role=MachineRole.NODE, host=20)
CLEANUP = VaultCleanup(cluster=reference(CLUSTER))
RESOURCE = ResourceReference(namespace="default", name="prometheus", uid="u-1")
CLIENT = CertificateSpec(cluster_name="demo", component="prometheus", common_name="prometheus")

REQUESTS: dict[str, tuple[object, type]] = {
    names.CLAIM: (ClaimRequest(cluster=CLUSTER), Claims),
    names.FIND_CLAIMS: (ClaimRequest(cluster=CLUSTER), Claims),
    names.RECORD_COMPLETE: (ClaimRequest(cluster=CLUSTER), type(None)),
    names.ENSURE_AUTHORITY: (AuthorityRequest(cluster=CLUSTER, authority=Authority.ETCD), AuthorityFacts),
    names.ENSURE_SECRETS: (ClaimRequest(cluster=CLUSTER), type(None)),
    names.SIGN_CERTIFICATES: (
        SigningRequest(cluster=CLUSTER, machine=NODE, instance_id="i", requests={"kubelet": signing_request()}),
        SignedCertificates,
    ),
    names.SEAL_SECRETS: (SealRequest(cluster=CLUSTER, machine=SLOT, sealing_certificate=""), SealedSecrets),
    names.SIGN_USER_CERTIFICATE: (
        UserCertificateRequest(cluster=CLUSTER, request=signing_request(), user="alice"),
        UserCertificate,
    ),
    names.FIND_AUTHORITY: (
        IssueRequest(resource=RESOURCE, generation=1, spec=CLIENT, cluster=CLUSTER),
        AuthorityFacts,
    ),
    names.SIGN_CLIENT_CERTIFICATE: (
        ClientSigningRequest(resource=RESOURCE, spec=CLIENT, cluster=CLUSTER, request=signing_request()),
        ClientCertificate,
    ),
    names.DELETE_AUTHORITIES: (CLEANUP, type(None)),
    names.DELETE_SECRETS: (CLEANUP, type(None)),
    names.RELEASE_CLAIMS: (CLEANUP, type(None)),
    names.LIST_VAULT_LEFTOVERS: (ClusterReference(cluster_id=CLUSTER.cluster_id), Leftovers),
    names.LIST_HYPERVISORS: (SiteReference(site=SITE), HypervisorRecords),
    names.ENROL_HYPERVISOR: (EnrolRequest(site=SITE, name="h1", facts=facts("h1")), HypervisorRecord),
    names.MARK_HYPERVISOR: (MarkRequest(site=SITE, name="h1", mark=Mark.DEAD), HypervisorRecord),
    names.FORGET_HYPERVISOR: (HypervisorReference(site=SITE, name="h1"), type(None)),
    names.RECORD_SILENCE: (HypervisorReference(site=SITE, name="h1"), HypervisorRecord),
    names.FIND_NETWORKS: (HypervisorReference(site=SITE, name="h1"), ClusterNetworks),
    names.RECORD_SWEPT: (SweptRequest(site=SITE, name="h1", debt=Debt(cluster_id="c1")), HypervisorRecord),
    names.PLACE_MACHINES: (PlaceRequest(cluster=CLUSTER, machines=[SLOT, NODE]), Placements),
    names.FIND_PLACEMENTS: (CLUSTER, Placements),
    names.VACATE_HYPERVISORS: (VacateRequest(cluster=reference(CLUSTER), site=SITE), Vacated),
}


@pytest.fixture(scope="module")
def own_bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """A server that these tests may break."""
    server = OpenBao(tmp_path_factory.mktemp("own-openbao"))
    try:
        server.start()
        server.set_up()
        yield server
    finally:
        server.stop()


def all_fail_with(vault: Vault, code: ErrorCode, why: str) -> None:
    for name, (request, result) in REQUESTS.items():
        with pytest.raises(StepError, match=why) as raised:
            vault.run(name, request, result)
        assert (raised.value.code, raised.value.retryable) == (code, True), name
        assert raised.value.__cause__ is None


def test_every_activity_is_asked() -> None:
    assert set(REQUESTS) == Vault(VaultSettings("http://127.0.0.1:1", AppRoles(Path("/nowhere")))).names()


def test_a_sealed_a_dead_and_a_restarted_vault(own_bao: OpenBao) -> None:
    logged_in, fresh = Vault(own_bao.settings), Vault(own_bao.settings)
    claims = logged_in.run(names.CLAIM, ClaimRequest(cluster=CLUSTER), Claims)
    own_bao.seal()
    for vault in (logged_in, fresh):
        all_fail_with(vault, ErrorCode.VAULT_SEALED, "Vault is sealed")
    own_bao.stop()
    for vault in (logged_in, fresh):
        all_fail_with(vault, ErrorCode.VAULT_UNAVAILABLE, "no connection")
    own_bao.start()
    for vault in (logged_in, fresh):
        assert (
            vault.run(names.CLAIM, ClaimRequest(cluster=CLUSTER), Claims).machine_network == claims.machine_network
        )


def test_a_vault_that_does_not_answer_is_given_up(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.vault.client.TIMEOUT_SECONDS", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        host, port = silent.getsockname()
        client = VaultClient(f"http://{host}:{port}", bao.settings.login, "signer")
        with pytest.raises(StepError, match="no answer in time") as raised:
            client.mounts()
    assert raised.value.code is ErrorCode.VAULT_UNAVAILABLE


def test_a_login_of_another_task_is_denied(bao: OpenBao) -> None:
    client = bao.settings.client(Task.SIGNER)
    with pytest.raises(StepError, match="list sys/mounts: permission denied") as raised:
        client.mounts()
    assert raised.value.code is ErrorCode.VAULT_DENIED


def test_a_wrong_or_missing_login_file_is_named(bao: OpenBao, tmp_path: Path) -> None:
    contents = {
        "wrong": json.dumps({"role_id": "no", "secret_id": "s3cr3t"}),
        "broken": "s3cr3t",
        "empty": "{}",
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(content)
    for name in (*contents, "missing"):
        client = VaultClient(bao.address, AppRoles(tmp_path), name)
        with pytest.raises(StepError, match="login of wrong$" if name == "wrong" else f"{name}.json") as raised:
            client.mounts()
        assert raised.value.code is ErrorCode.VAULT_DENIED
        assert "s3cr3t" not in raised.value.message
        assert "AppRole" in raised.value.hint


@pytest.mark.parametrize(
    "error", [exceptions.Forbidden(errors=["s3cr3t"]), exceptions.InvalidRequest(errors=["s3cr3t"])]
)
def test_a_login_that_is_refused_is_told_apart_from_a_request(error: Exception, tmp_path: Path) -> None:
    class Refusing:
        auth = SimpleNamespace(kubernetes=SimpleNamespace(login=lambda *_, **__: throw(error)))

    (tmp_path / "token").write_text("t")
    with pytest.raises(StepError) as raised:
        ServiceAccount(tmp_path / "token", "kubernetes").log_in(Refusing(), "signer")
    assert (raised.value.code, raised.value.message) == (
        ErrorCode.VAULT_DENIED,
        "Vault refused the login of signer",
    )
    assert "service account" in raised.value.hint


def throw(error: Exception) -> None:
    raise error


def test_a_revoked_token_is_replaced(bao: OpenBao) -> None:
    bao.add_login("revocable", "mount-admin")
    client = VaultClient(bao.address, bao.settings.login, "revocable")
    assert client.mounts()
    tokens = bao.root.auth.token
    for accessor in tokens.list_accessors()["data"]["keys"]:
        if tokens.lookup_accessor(accessor)["data"]["meta"] == {"role_name": "revocable"}:
            tokens.revoke_accessor(accessor)
            break
    else:
        pytest.fail("no token to revoke")
    assert client.mounts()


def test_a_token_near_its_end_is_replaced(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("activities.vault.client.time.monotonic", lambda: now)
    login = bao.add_login("moving", "mount-admin", token_ttl="100s")
    client = VaultClient(bao.address, bao.settings.login, "moving")
    assert client.mounts()
    shutil.move(login, login.with_suffix(".gone"))
    now += 79
    assert client.mounts()
    now += 2
    with pytest.raises(StepError, match=r"moving\.json"):
        client.mounts()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            exceptions.InternalServerError(
                errors=['unable to store logs: err: "write raft.db: no space left on device"']
            ),
            ErrorCode.DISK_FULL,
        ),
        (exceptions.VaultDown(errors=["Vault is sealed"]), ErrorCode.VAULT_SEALED),
        (exceptions.VaultDown(errors=[]), ErrorCode.VAULT_UNAVAILABLE),
        (exceptions.InternalServerError(errors=["local node not active"]), ErrorCode.VAULT_UNAVAILABLE),
        (exceptions.BadGateway("s3cr3t"), ErrorCode.VAULT_UNAVAILABLE),
        (exceptions.RateLimitExceeded(errors=["s3cr3t"]), ErrorCode.VAULT_UNAVAILABLE),
        (exceptions.UnexpectedError("s3cr3t"), ErrorCode.VAULT_UNAVAILABLE),
        (exceptions.Forbidden(errors=["s3cr3t"]), ErrorCode.VAULT_DENIED),
        (exceptions.InvalidRequest(errors=["s3cr3t"]), ErrorCode.INTERNAL),
        (requests.ConnectTimeout("s3cr3t"), ErrorCode.VAULT_UNAVAILABLE),
        (requests.exceptions.ChunkedEncodingError("s3cr3t"), ErrorCode.VAULT_UNAVAILABLE),
    ],
)
def test_an_error_has_a_name_and_says_nothing_that_was_sent(error: Exception, code: ErrorCode) -> None:
    translated = translate(error, "write giantnetes/secrets/c1/encryption")
    assert translated.code is code
    assert translated.message.startswith("Vault: write giantnetes/secrets/c1/encryption: ")
    assert "s3cr3t" not in translated.message


def test_an_unexpected_refusal_is_told_where_it_holds_names_only(vault: Vault) -> None:
    refusals: list[Callable[[], object]] = [
        lambda: vault.client(Task.MOUNT_ADMIN).write_role("pki/none/etcd", "x", {}),
        lambda: vault.client(Task.SIGNER).sign("pki/none/etcd", "x", signing_request(), "x", {}),
    ]
    for refusal in refusals:
        with pytest.raises(StepError, match=r"pki/none/etcd.*no handler for route") as raised:
            refusal()
        assert raised.value.code is ErrorCode.INTERNAL
