"""A whole life in Vault: what is left after it, and that no result or log line held a secret on the way."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel
from structlog.testing import capture_logs

from activities.vault import Task
from activities.vault.identity import Identities
from contracts import activities as names
from contracts.certificates import held_by
from contracts.context import ClusterContext
from contracts.machines import ClusterReference, Leftovers, MachineRole
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
from planning.create import CONTROL_PLANE, machine_groups
from tests.activities.vault.certs import self_signed, signing_request
from tests.activities.vault.support import Vault, new_cluster, reference


def left(vault: Vault, cluster: ClusterReference) -> list[tuple[str, str]]:
    found = vault.run(names.LIST_VAULT_LEFTOVERS, cluster, Leftovers)
    return sorted((item.kind, item.name) for item in found.items)


def claimed(vault: Vault) -> ClusterContext:
    cluster = new_cluster()
    claims = vault.run(names.CLAIM, ClaimRequest(cluster=cluster), Claims)
    return cluster.model_copy(update={"machine_network": claims.machine_network})


def everything(cluster: ClusterContext) -> list[tuple[str, str]]:
    return sorted(
        [
            *(("authority", f"pki/{cluster.cluster_id}/{authority}") for authority in Authority),
            *(("secret", f"secrets/{cluster.cluster_id}/{kind}") for kind in ("service-account", "encryption")),
            ("network", cluster.machine_network),
            ("registry", f"default/{cluster.name}"),
        ]
    )


def test_a_deleted_cluster_leaves_nothing(vault: Vault) -> None:
    cluster = vault.made(claimed(vault))
    node = machine_groups(cluster.spec)["workers"][0]
    requests = {"kubelet": signing_request()}
    signing = SigningRequest(cluster=cluster, machine=node, instance_id="boot-1", requests=requests)
    vault.run(names.SIGN_CERTIFICATES, signing, SignedCertificates)
    issuance = ("issuance", f"issuances/{cluster.cluster_id}/{node.name}")
    assert left(vault, reference(cluster)) == sorted([*everything(cluster), issuance])
    for name in (names.DELETE_AUTHORITIES, names.DELETE_SECRETS, names.RELEASE_CLAIMS):
        vault.do(name, VaultCleanup(cluster=reference(cluster)))
    assert left(vault, reference(cluster)) == []
    assert left(vault, ClusterReference(cluster_id=cluster.cluster_id)) == []


def test_an_id_without_a_name_is_looked_for_everywhere(vault: Vault) -> None:
    cluster = vault.made(claimed(vault))
    assert left(vault, ClusterReference(cluster_id=cluster.cluster_id)) == everything(cluster)


def test_all_clusters_are_listed_with_their_ids(vault: Vault) -> None:
    clusters = [vault.made(claimed(vault)) for _ in range(2)]
    found = vault.run(names.LIST_VAULT_LEFTOVERS, ClusterReference(cluster_id=""), Leftovers)
    for cluster in clusters:
        of_cluster = sorted(
            (item.kind, item.name) for item in found.items if item.cluster_id == cluster.cluster_id
        )
        assert of_cluster == everything(cluster)


def test_a_half_made_cluster_is_listed_and_deleted(vault: Vault) -> None:
    cluster = claimed(vault)
    request = AuthorityRequest(cluster=cluster, authority=Authority.ETCD)
    vault.run(names.ENSURE_AUTHORITY, request, AuthorityFacts)
    assert ("authority", f"pki/{cluster.cluster_id}/etcd") in left(vault, reference(cluster))
    for name in (names.DELETE_AUTHORITIES, names.DELETE_SECRETS, names.RELEASE_CLAIMS):
        vault.do(name, VaultCleanup(cluster=reference(cluster)))
    assert left(vault, reference(cluster)) == []


def test_deleting_one_cluster_leaves_another_whole(vault: Vault) -> None:
    one, other = vault.made(claimed(vault)), vault.made(claimed(vault))
    for name in (names.DELETE_AUTHORITIES, names.DELETE_SECRETS, names.RELEASE_CLAIMS):
        vault.do(name, VaultCleanup(cluster=reference(one)))
    assert left(vault, reference(other)) == everything(other)


def run_a_life(vault: Vault, cluster: ClusterContext) -> list[BaseModel]:
    """Run every activity that returns something, and return all that came back."""
    machine = machine_groups(cluster.spec)[CONTROL_PLANE][0]
    requests = {item.name: signing_request() for item in held_by(MachineRole.CONTROL_PLANE, "local")}
    sealing = self_signed(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    user = UserCertificateRequest(cluster=cluster, request=signing_request(), user="alice")
    return [
        *(
            vault.run(names.ENSURE_AUTHORITY, AuthorityRequest(cluster=cluster, authority=item), AuthorityFacts)
            for item in Authority
        ),
        vault.run(
            names.SIGN_CERTIFICATES,
            SigningRequest(cluster=cluster, machine=machine, instance_id="i", requests=requests),
            SignedCertificates,
        ),
        vault.run(
            names.SEAL_SECRETS,
            SealRequest(cluster=cluster, machine=machine, sealing_certificate=sealing),
            SealedSecrets,
        ),
        vault.run(names.SIGN_USER_CERTIFICATE, user, UserCertificate),
        vault.run(names.LIST_VAULT_LEFTOVERS, reference(cluster), Leftovers),
    ]


def forms(secret: str) -> set[str]:
    """Return how a secret may be written down: raw, base64, JSON-escaped, or by its longest line."""
    return {
        secret,
        base64.b64encode(secret.encode()).decode(),
        json.dumps(secret)[1:-1],
        max(secret.splitlines(), key=len),
    }


def leaks(secrets: list[str], texts: list[str]) -> list[str]:
    return [text[:80] for secret in secrets for form in forms(secret) for text in texts if form in text]


def test_no_result_and_no_log_line_holds_a_secret(vault: Vault, capfd: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as logs:
        cluster = vault.made(claimed(vault))
        results = run_a_life(vault, cluster)
        identity = Identities(vault.client(Task.PROBER)).client_certificate(cluster, "super-admin", 60)
    sealer = vault.client(Task.SEALER)
    kept = [sealer.read(f"secrets/{cluster.cluster_id}/{kind}") for kind in ("service-account", "encryption")]
    secrets = [str(value) for record in kept if record for value in record.data.values()] + [identity.key_pem]
    assert len(secrets) == 3
    printed = capfd.readouterr()
    texts = [*(result.model_dump_json() for result in results), str(logs), repr(identity), *printed]
    assert leaks(secrets, texts) == []
    assert leaks(secrets, [*texts, json.dumps({"planted": identity.key_pem})])
    assert not any("PRIVATE KEY" in text for text in texts)
