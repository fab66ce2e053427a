"""The certificates themselves, read from the machines that hold them and from the servers that show them."""

import socket
import ssl
from collections.abc import Mapping
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from activities.kubernetes.identity import server_tls
from activities.vault.roles import SHORT_TTL_SECONDS
from contracts.certificates import CERTIFICATES, Usage, held_by
from contracts.machines import MachinePlan, MachineRole
from contracts.vault import Authority
from deploy.docs.access import ENDPOINTS
from tests.e2e.matrix.asking import TIMEOUT_SECONDS, address_of
from tests.e2e.matrix.credentials import NOBODY, Credential, held
from tests.e2e.matrix.subject import Subject

pytestmark = pytest.mark.timeout(180)

USAGES = {Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}
BACKDATED = timedelta(hours=1)
SERVED = sorted({(endpoint.server, endpoint.port): name for name, endpoint in ENDPOINTS.items()}.values())
"""One endpoint for each port."""


def machine_of(subject: Subject, name: str) -> MachinePlan:
    """Return who holds a kind of certificate."""
    holders = {MachineRole.CONTROL_PLANE: subject.control_plane, MachineRole.NODE: subject.node, None: NOBODY}
    return holders[CERTIFICATES[name].holder]


@pytest.mark.parametrize("role", MachineRole)
def test_a_machine_holds_its_own_and_nothing_else(subject: Subject, role: MachineRole) -> None:
    machine = subject.control_plane if role is MachineRole.CONTROL_PLANE else subject.node
    folder = subject.folder(machine) / "state" / "pki" / "current"
    assert held(subject.folder(machine)).keys() == {kind.name for kind in held_by(role, "local")}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    anchors = {path.name.removesuffix("-ca.crt"): path.read_text() for path in folder.glob("*-ca.crt")}
    known = Authority if role is MachineRole.CONTROL_PLANE else [Authority.KUBERNETES]
    assert anchors == {item: subject.authorities[item] for item in known}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_says_what_the_table_says(
    subject: Subject, credentials: Mapping[str, Credential], name: str
) -> None:
    kind, machine, found = CERTIFICATES[name], machine_of(subject, name), credentials[name].parsed
    named = {attribute.oid: attribute.value for attribute in found.subject}
    expected = {NameOID.COMMON_NAME: kind.subject(machine.name), NameOID.ORGANIZATION_NAME: kind.organization}
    assert named == {oid: value for oid, value in expected.items() if value}
    assert _alternative_names(found) == {
        *kind.dns_names(subject.context, machine),
        *kind.ip_addresses(subject.context, machine),
    }
    usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {oid for usage, oid in USAGES.items() if usage in kind.usage}


def _alternative_names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_is_a_leaf_of_its_authority_alone(
    subject: Subject, credentials: Mapping[str, Credential], name: str
) -> None:
    found = credentials[name].parsed
    assert [item for item, pem in subject.authorities.items() if _is_issued_by(found, pem)] == [
        CERTIFICATES[name].authority
    ]
    assert not [item for item in subject.foreign_authorities.values() if _is_issued_by(found, item)]
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not usage.crl_sign


def _is_issued_by(certificate: x509.Certificate, authority: str) -> bool:
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
    except (ValueError, InvalidSignature):
        return False
    return True


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_ends_in_time(subject: Subject, credentials: Mapping[str, Credential], name: str) -> None:
    found = credentials[name].parsed
    leaf = subject.context.spec.certificates.leaf_ttl_hours * 3600
    longest = timedelta(seconds=SHORT_TTL_SECONDS.get(name, leaf)) + BACKDATED
    assert found.not_valid_after_utc - found.not_valid_before_utc <= longest


def test_every_key_is_of_p256_and_used_once(credentials: Mapping[str, Credential]) -> None:
    keys = []
    for name in CERTIFICATES:
        key = load_pem_private_key(credentials[name].key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(key.curve, ec.SECP256R1)
        assert key.public_key() == credentials[name].parsed.public_key()
        keys.append(key.private_numbers().private_value)
    assert len(set(keys)) == len(CERTIFICATES)


@pytest.mark.parametrize("endpoint", SERVED)
def test_a_server_shows_its_own_certificate(
    subject: Subject, credentials: Mapping[str, Credential], endpoint: str
) -> None:
    kind = CERTIFICATES[ENDPOINTS[endpoint].server]
    address, _ = address_of(subject, endpoint)
    shown = _handshake(subject, endpoint, subject.authorities[kind.authority], address)
    assert shown == credentials[kind.name].parsed.public_bytes(Encoding.DER)


@pytest.mark.parametrize("endpoint", SERVED)
def test_a_server_is_refused_by_who_trusts_another_authority(subject: Subject, endpoint: str) -> None:
    own = CERTIFICATES[ENDPOINTS[endpoint].server].authority
    address, _ = address_of(subject, endpoint)
    others = [pem for item, pem in subject.authorities.items() if item is not own]
    for anchor in [*others, *subject.foreign_authorities.values()]:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get local issuer"):
            _handshake(subject, endpoint, anchor, address)


@pytest.mark.parametrize("endpoint", SERVED)
def test_a_server_is_refused_by_who_called_another(subject: Subject, endpoint: str) -> None:
    kind = CERTIFICATES[ENDPOINTS[endpoint].server]
    other = subject.control_plane if kind.holder is MachineRole.NODE else subject.node
    for name in (subject.context.address(other.host), other.name, "etcd.example.com"):
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            _handshake(subject, endpoint, subject.authorities[kind.authority], name)


@pytest.mark.parametrize("endpoint", SERVED)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_a_server_speaks_no_tls_before_1_2(subject: Subject, endpoint: str) -> None:
    context = server_tls(subject.authorities[CERTIFICATES[ENDPOINTS[endpoint].server].authority])
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    address = address_of(subject, endpoint)
    with (
        socket.create_connection(address, TIMEOUT_SECONDS) as plain,
        pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"),
    ):
        context.wrap_socket(plain, server_hostname=address[0])


def _handshake(subject: Subject, endpoint: str, anchor: str, name: str) -> bytes:
    """Return the certificate (DER) that a server shows to who trusts a CA and means to call ``name``."""
    with (
        socket.create_connection(address_of(subject, endpoint), TIMEOUT_SECONDS) as plain,
        server_tls(anchor).wrap_socket(plain, server_hostname=name) as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""
