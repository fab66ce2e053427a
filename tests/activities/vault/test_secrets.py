"""A cluster's own keys: made once, sealed to control plane machines alone, destroyed."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import pkcs7_decrypt_pem

from activities.vault import Task
from activities.vault.client import Record
from activities.vault.sealing import new_encryption_key, new_service_account_key, secret_files
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.machines import MachinePlan, MachineRole
from contracts.vault import ClaimRequest, SealedSecrets, SealRequest, VaultCleanup
from tests.activities.vault.certs import new_key, self_signed
from tests.activities.vault.support import Vault, new_cluster, reference

SLOT = MachinePlan(name="control-plane-1", role=MachineRole.CONTROL_PLANE, host=11)
SEALING_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KINDS = ("service-account", "encryption")


def ensure(vault: Vault, cluster: ClusterContext) -> None:
    vault.do(names.ENSURE_SECRETS, ClaimRequest(cluster=cluster))


def stored(vault: Vault, cluster: ClusterContext) -> list[Record | None]:
    sealer = vault.client(Task.SEALER)
    return [sealer.read(f"secrets/{cluster.cluster_id}/{kind}") for kind in KINDS]


def seal(vault: Vault, cluster: ClusterContext, certificate: str, machine: MachinePlan = SLOT) -> str:
    request = SealRequest(cluster=cluster, machine=machine, sealing_certificate=certificate)
    return vault.run(names.SEAL_SECRETS, request, SealedSecrets).envelope


def test_keys_are_made_once_and_never_overwritten(vault: Vault) -> None:
    cluster = new_cluster()
    assert stored(vault, cluster) == [None, None]
    ensure(vault, cluster)
    first = stored(vault, cluster)
    assert all(record is not None and record.version == 1 for record in first)
    ensure(vault, cluster)
    assert stored(vault, cluster) == first


def test_a_half_made_pair_is_completed(vault: Vault) -> None:
    cluster = new_cluster()
    kept = new_encryption_key()
    vault.client(Task.SEALER).write(f"secrets/{cluster.cluster_id}/encryption", kept, version=0)
    ensure(vault, cluster)
    service_account, encryption = stored(vault, cluster)
    assert service_account is not None
    assert encryption == Record(kept, 1)


def test_attempts_at_once_agree_on_the_keys(vault: Vault) -> None:
    cluster = new_cluster()

    def attempt(_: int) -> None:
        try:
            ensure(vault, cluster)
        except StepError as error:
            # The policy lets nobody write to what is there: the loser of a race is denied, and tries again.
            if error.code is not ErrorCode.VAULT_DENIED:
                raise

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(attempt, range(6)))
    assert all(record is not None and record.version == 1 for record in stored(vault, cluster))


def test_the_keys_are_of_the_planned_kinds() -> None:
    files = secret_files(new_service_account_key(), new_encryption_key())
    key = load_pem_private_key(files["service-account.key"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    (resource,) = yaml.safe_load(files["encryption.yaml"])["resources"]
    assert resource["resources"] == ["secrets"]
    first, last = resource["providers"]
    assert len(base64.b64decode(first["secretbox"]["keys"][0]["secret"])) == 32
    assert last == {"identity": {}}


def test_an_envelope_opens_with_the_machines_key_alone(vault: Vault, made: ClusterContext) -> None:
    certificate = self_signed(SEALING_KEY)
    envelope = seal(vault, made, certificate).encode()
    parsed = x509.load_pem_x509_certificate(certificate.encode())
    opened = json.loads(pkcs7_decrypt_pem(envelope, parsed, SEALING_KEY, []))
    service_account, encryption = stored(vault, made)
    assert service_account is not None
    assert encryption is not None
    assert opened == secret_files(dict(service_account.data), dict(encryption.data))
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(ValueError, match=r".+"):
        pkcs7_decrypt_pem(envelope, parsed, other, [])


def test_a_node_gets_no_keys(vault: Vault, made: ClusterContext) -> None:
    node = MachinePlan(name="workers-1", role=MachineRole.NODE, host=20)
    with pytest.raises(StepError, match="it gets no keys"):
        seal(vault, made, self_signed(SEALING_KEY), node)


def test_an_unusable_sealing_certificate_is_refused(vault: Vault, made: ClusterContext) -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    faulty = [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        self_signed(small),
        self_signed(new_key()),
        self_signed(SEALING_KEY, signer=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    ]
    for certificate in faulty:
        with pytest.raises(StepError, match="unusable sealing certificate") as raised:
            seal(vault, made, certificate)
        assert raised.value.code is ErrorCode.MACHINE_FAILED


def test_sealing_before_the_keys_are_made_says_so(vault: Vault) -> None:
    with pytest.raises(StepError, match="EnsureSecrets comes first"):
        seal(vault, new_cluster(), self_signed(SEALING_KEY))


def test_deleting_destroys_the_keys_again_and_again(vault: Vault) -> None:
    cluster = new_cluster()
    ensure(vault, cluster)
    for _ in range(2):
        vault.do(names.DELETE_SECRETS, VaultCleanup(cluster=reference(cluster)))
    assert stored(vault, cluster) == [None, None]
