"""Keys, signing requests and certificates for tests."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(key: Key | None = None) -> str:
    """Return a request with an empty subject, as machines make it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def greedy_request() -> str:
    """Return a request that asks for everything: another subject, names, a CA."""
    subject = [
        x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes-super-admin"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
    ]
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(subject))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("evil.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(new_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def self_signed(key: Key, *, signer: Key | None = None) -> str:
    """Return a certificate of ``key``, signed with itself or, wrongly, with another."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealing")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    return builder.sign(signer or key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def parse(certificate: str) -> x509.Certificate:
    """Return a PEM certificate parsed."""
    return x509.load_pem_x509_certificate(certificate.encode())


def organizations(certificate: x509.Certificate) -> list[str]:
    """Return the organisations of the subject."""
    return [str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def common_name(certificate: x509.Certificate) -> str:
    """Return the one common name of the subject."""
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def alternative_names(certificate: x509.Certificate) -> set[str]:
    """Return all subject alternative names, of every kind."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in extension.value}


def usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    """Return the extended key usages."""
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
