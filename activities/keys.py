"""Private keys of clients, and signing requests for them (RFC 2986)."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


def new_key() -> str:
    """Return a new P-256 key, PEM (PKCS #8)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def signing_request(key: str) -> str:
    """Return a request (PKCS #10, PEM) for a key that ``new_key`` made; it names nobody."""
    private = load_pem_private_key(key.encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"a request is for a P-256 key, not for a {type(private).__name__}")
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(private, SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def fits(certificate: str, key: str) -> bool:
    """Say whether a certificate is for a key, PEM each; False for what is neither."""
    try:
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return bool(private.public_key() == public)
