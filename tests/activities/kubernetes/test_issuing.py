"""Keys and certificates in Secrets of a real API server: whole pairs, of their own resource alone."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from activities.keys import fits
from activities.kubernetes import issuing
from activities.kubernetes.connection import HostApi
from activities.kubernetes.issuing import CertificateSecrets
from api.certificate import CertificateSpec
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.issuing import KeyAnswer, KeyRequest, StoreAnswer, StoreRequest
from contracts.reporting import ResourceReference
from tests.e2e.people import kubectl
from tests.support.host import host_cluster

NOW = datetime.now(UTC).replace(microsecond=0)
SPEC = CertificateSpec.model_validate(
    {"clusterName": "demo", "component": "prometheus", "commonName": "prometheus", "ttlHours": 24}
)
AUTHORITY = "an authority\n"
NAME = "prometheus"


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    with host_cluster() as stack:
        yield stack.host_kubeconfig


@pytest.fixture
def secrets(kubeconfig: Path) -> CertificateSecrets:
    return CertificateSecrets(HostApi(kubeconfig), lambda: NOW)


@pytest.fixture
def resource(kubeconfig: Path, tmp_path: Path) -> Iterator[ResourceReference]:
    file = tmp_path / "certificate.json"
    spec = SPEC.model_dump(mode="json", by_alias=True)
    kind = {"apiVersion": "giantnetes.io/v1alpha1", "kind": "Certificate"}
    file.write_text(json.dumps({**kind, "metadata": {"name": NAME, "namespace": "default"}, "spec": spec}))
    kubectl(kubeconfig, "apply", "--filename", str(file))
    uid = kubectl(kubeconfig, "get", "certificate", NAME, "--output", "jsonpath={.metadata.uid}")
    yield ResourceReference(namespace="default", name=NAME, uid=uid)
    kubectl(kubeconfig, "delete", "certificate", NAME, "--ignore-not-found")
    kubectl(kubeconfig, "delete", "secrets", "--all")


def names(kubeconfig: Path) -> list[str]:
    return kubectl(kubeconfig, "get", "secrets", "--output", "name").split()


def secret(kubeconfig: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl(kubeconfig, "get", "secret", NAME, "--output", "json"))
    return found


def prepare(secrets: CertificateSecrets, resource: ResourceReference, spec: CertificateSpec = SPEC) -> KeyAnswer:
    return secrets.prepare(KeyRequest(resource=resource, generation=1, spec=spec, authority=AUTHORITY))


def certify(request: str, serial: int = 4711) -> str:
    """Return a certificate for the key of a request."""
    key = x509.load_pem_x509_csr(request.encode()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key)
    builder = builder.serial_number(serial).not_valid_before(NOW).not_valid_after(NOW + timedelta(hours=24))
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256()).public_bytes(Encoding.PEM).decode()


def store(secrets: CertificateSecrets, resource: ResourceReference, certificate: str) -> StoreAnswer:
    request = StoreRequest(
        resource=resource,
        generation=1,
        spec=SPEC,
        authority=AUTHORITY,
        certificate=certificate,
        reason="tested",
    )
    return secrets.store(request)


def pair(kubeconfig: Path) -> tuple[str, str]:
    data = secret(kubeconfig)["data"]
    return b64decode(data["tls.crt"]).decode(), b64decode(data["tls.key"]).decode()


def test_a_key_waits_until_its_certificate_comes(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference
) -> None:
    asked = prepare(secrets, resource)
    assert asked.reason == "there is none that fits its key"
    assert prepare(secrets, resource).request  # once more, as after a lost answer
    (waiting,) = names(kubeconfig)
    assert waiting != f"secret/{NAME}"
    certificate = certify(asked.request)
    first = store(secrets, resource, certificate)
    assert store(secrets, resource, certificate) == first
    assert first.held is not None
    assert first.held.serial == "12:67"
    assert names(kubeconfig) == [f"secret/{NAME}"]
    assert fits(*pair(kubeconfig))
    assert prepare(secrets, resource).held == first.held
    assert prepare(secrets, resource).reason == ""


def test_a_renewal_leaves_a_whole_pair_at_any_time(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference
) -> None:
    store(secrets, resource, certify(prepare(secrets, resource).request))
    before = pair(kubeconfig)
    changed = SPEC.model_copy(update={"organizations": ["more"]})
    asked = prepare(secrets, resource, changed)
    assert (asked.reason, asked.renewing) == ("the spec changed", False)
    assert pair(kubeconfig) == before
    store(secrets, resource, certify(asked.request, serial=4712))
    assert fits(*pair(kubeconfig))
    assert pair(kubeconfig) != before


def test_a_certificate_for_a_lost_key_is_asked_for_anew(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference
) -> None:
    certificate = certify(prepare(secrets, resource).request)
    kubectl(kubeconfig, "delete", "secrets", "--all")
    assert store(secrets, resource, certificate).held is None
    assert prepare(secrets, resource).reason


@pytest.mark.parametrize("part", ["tls.key", "tls.crt"])
@pytest.mark.parametrize("value", [b"", b"garbage", b"\xff\xfe"])
def test_what_was_spoilt_by_hand_is_issued_anew(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference, part: str, value: bytes
) -> None:
    store(secrets, resource, certify(prepare(secrets, resource).request))
    patch = json.dumps({"data": {part: b64encode(value).decode()}})
    kubectl(kubeconfig, "patch", "secret", NAME, "--patch", patch)
    asked = prepare(secrets, resource)
    assert asked.reason == "there is none that fits its key"
    store(secrets, resource, certify(asked.request, serial=4712))
    assert fits(*pair(kubeconfig))


def test_a_secret_of_somebody_else_is_never_touched(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference
) -> None:
    kubectl(kubeconfig, "create", "secret", "generic", NAME, "--from-literal=tls.key=mine")
    with pytest.raises(StepError) as taken:
        prepare(secrets, resource)
    assert taken.value.code is ErrorCode.NAME_CONFLICT
    secrets.remove(resource)
    assert b64decode(secret(kubeconfig)["data"]["tls.key"]) == b"mine"


def test_nothing_is_made_for_a_resource_that_is_gone(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference
) -> None:
    certificate = certify(prepare(secrets, resource).request)
    another = resource.model_copy(update={"uid": "another"})
    for attempt in (lambda: prepare(secrets, another), lambda: store(secrets, another, certificate)):
        with pytest.raises(StepError, match="is gone: nothing is issued for it"):
            attempt()
    kubectl(kubeconfig, "delete", "certificate", NAME)
    assert len(names(kubeconfig)) == 1
    with pytest.raises(StepError, match="is gone"):
        store(secrets, resource, certificate)
    assert names(kubeconfig) == []  # what a deletion had not seen


def test_what_was_asked_for_before_a_change_is_not_made(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference
) -> None:
    change = '{"spec": {"organizations": ["more"]}}'
    kubectl(kubeconfig, "patch", "certificate", NAME, "--type=merge", "--patch", change)
    with pytest.raises(StepError, match="is another by now"):
        prepare(secrets, resource)
    assert names(kubeconfig) == []


def test_a_secret_that_comes_meanwhile_is_not_taken_over(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certify(prepare(secrets, resource).request)
    write = issuing._write

    def write_late(*arguments: Any) -> Any:
        kubectl(kubeconfig, "create", "secret", "generic", NAME, "--from-literal=tls.key=mine")
        return write(*arguments)

    monkeypatch.setattr(issuing, "_write", write_late)
    with pytest.raises(StepError, match="409"):
        store(secrets, resource, certificate)
    assert b64decode(secret(kubeconfig)["data"]["tls.key"]) == b"mine"


def test_both_secrets_are_removed_and_again(
    kubeconfig: Path, secrets: CertificateSecrets, resource: ResourceReference
) -> None:
    store(secrets, resource, certify(prepare(secrets, resource).request))
    prepare(secrets, resource, SPEC.model_copy(update={"organizations": ["more"]}))
    assert len(names(kubeconfig)) == 2
    secrets.remove(resource)
    secrets.remove(resource)
    assert names(kubeconfig) == []
