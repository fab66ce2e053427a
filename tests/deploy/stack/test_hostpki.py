import stat
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.stack import Stack, hostpki


def certificate(stack: Stack, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((hostpki.pki(stack) / name).read_bytes())


def usages(found: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


@pytest.mark.parametrize("leaf", hostpki.LEAVES, ids=lambda leaf: leaf.name)
def test_each_certificate_is_issued_by_its_own_authority_only(stack: Stack, leaf: hostpki.Leaf) -> None:
    hostpki.ensure(stack)
    found = certificate(stack, f"{leaf.name}.pem")
    found.verify_directly_issued_by(certificate(stack, f"{leaf.ca}.crt"))
    other = {"etcd-ca": "kubernetes-ca", "kubernetes-ca": "etcd-ca"}[leaf.ca]
    with pytest.raises((ValueError, InvalidSignature)):
        found.verify_directly_issued_by(certificate(stack, f"{other}.crt"))


@pytest.mark.parametrize("leaf", hostpki.LEAVES, ids=lambda leaf: leaf.name)
def test_each_key_matches_the_certificate_in_the_same_file(stack: Stack, leaf: hostpki.Leaf) -> None:
    hostpki.ensure(stack)
    key = load_pem_private_key((hostpki.pki(stack) / f"{leaf.name}.pem").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == certificate(stack, f"{leaf.name}.pem").public_key()


def test_server_certificates_hold_the_loopback_address(stack: Stack) -> None:
    hostpki.ensure(stack)
    for name in ("etcd", "apiserver"):
        names = (
            certificate(stack, f"{name}.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        )
        assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
    assert usages(certificate(stack, "apiserver.pem")) == {ExtendedKeyUsageOID.SERVER_AUTH}


def test_the_administrator_is_a_client_in_the_masters_group(stack: Stack) -> None:
    hostpki.ensure(stack)
    admin = certificate(stack, "admin.pem")
    assert admin.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:masters"
    assert usages(admin) == {ExtendedKeyUsageOID.CLIENT_AUTH}


def test_a_second_run_changes_nothing(stack: Stack) -> None:
    hostpki.ensure(stack)
    before = {path: path.read_bytes() for path in hostpki.pki(stack).iterdir()}
    hostpki.ensure(stack)
    assert {path: path.read_bytes() for path in hostpki.pki(stack).iterdir()} == before


def test_certificates_near_their_end_are_renewed_by_the_same_authorities(stack: Stack) -> None:
    hostpki.ensure(stack)
    authority, leaf = certificate(stack, "etcd-ca.crt"), certificate(stack, "etcd.pem")
    hostpki.ensure(stack, datetime.now(UTC) + hostpki.VALIDITY - hostpki.RENEW_BEFORE + timedelta(days=1))
    assert certificate(stack, "etcd-ca.crt") == authority
    renewed = certificate(stack, "etcd.pem")
    assert renewed.serial_number != leaf.serial_number
    renewed.verify_directly_issued_by(authority)


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_a_damaged_certificate_is_made_anew(stack: Stack, damage: bytes) -> None:
    hostpki.ensure(stack)
    (hostpki.pki(stack) / "admin.pem").write_bytes(damage)
    hostpki.ensure(stack)
    certificate(stack, "admin.pem").verify_directly_issued_by(certificate(stack, "kubernetes-ca.crt"))


def test_a_lost_authority_gets_its_certificates_replaced(stack: Stack) -> None:
    hostpki.ensure(stack)
    (hostpki.pki(stack) / "etcd-ca.key").unlink()
    hostpki.ensure(stack)
    certificate(stack, "etcd.pem").verify_directly_issued_by(certificate(stack, "etcd-ca.crt"))


def test_all_files_are_private_and_the_kubeconfig_holds_paths_only(stack: Stack) -> None:
    hostpki.ensure(stack)
    files = [*hostpki.pki(stack).iterdir(), stack.host_kubeconfig]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    kubeconfig = yaml.safe_load(stack.host_kubeconfig.read_text())
    assert kubeconfig["clusters"][0]["cluster"]["server"] == stack.host_api_url
    assert "PRIVATE" not in stack.host_kubeconfig.read_text()
