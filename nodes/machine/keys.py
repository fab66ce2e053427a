"""Private keys, what asks for certificates for them, and whether an answer fits. Everything is PEM."""

import json
from datetime import UTC, datetime, timedelta
from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from nodes.machine.errors import MachineError

SEALING_DAYS = 30
"""Far longer than the minutes between a boot and the secrets; envelopes are not checked against it."""


def make_key() -> bytes:
    """Return a new P-256 key."""
    return _private_bytes(ec.generate_private_key(ec.SECP256R1()))


def make_sealing_key() -> bytes:
    """Return a new RSA key: the kind that everyone's CMS envelopes (RFC 5652) can be made for."""
    return _private_bytes(rsa.generate_private_key(65537, 2048))


def make_request(key: bytes) -> bytes:
    """Return a PKCS #10 request (RFC 2986) with an empty subject: who it is for is said by those who sign it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    private_key = cast("ec.EllipticCurvePrivateKey", load_pem_private_key(key, password=None))
    return builder.sign(private_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def make_sealing_certificate(key: bytes, common_name: str) -> bytes:
    """Return a self-signed certificate for a sealing key."""
    private_key = _rsa_key(key)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=private_key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(days=SEALING_DAYS),
    )
    return builder.sign(private_key, hashes.SHA256()).public_bytes(Encoding.PEM)


def open_envelope(envelope: bytes, key: bytes, certificate: bytes) -> dict[str, str]:
    """Return the secrets in a CMS envelope by file name. Raises MachineError when it is for another key."""
    from cryptography.hazmat.primitives.serialization import pkcs7  # noqa: PLC0415 - needed once in a machine's life

    recipient = x509.load_pem_x509_certificate(certificate)
    try:
        return dict(json.loads(pkcs7.pkcs7_decrypt_pem(envelope, recipient, _rsa_key(key), [])))
    except ValueError as error:
        # The error's own text is left out: it may quote what was opened.
        raise MachineError(
            f"the sealed secrets can't be opened ({type(error).__name__}): "
            "seal them to the certificate that the machine asks with now"
        ) from None


def check_certificate(name: str, certificate: bytes, authority: bytes, key: bytes) -> int:
    """Return the Unix time at which a certificate ends; MachineError when it isn't the CA's and the key's."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (ValueError, TypeError, InvalidSignature) as error:
        raise MachineError(f"certificate {name} is not signed by its CA ({type(error).__name__})") from None
    if _public_bytes(found.public_key()) != _public_bytes(load_pem_private_key(key, password=None).public_key()):
        raise MachineError(f"certificate {name} is for another key: sign the request that the machine makes now")
    return int(found.not_valid_after_utc.timestamp())


def _rsa_key(key: bytes) -> rsa.RSAPrivateKey:
    # It was made and kept here, and testing its primes takes longer than all else that is done with it.
    loaded = load_pem_private_key(key, password=None, unsafe_skip_rsa_key_validation=True)
    return cast("rsa.RSAPrivateKey", loaded)


def _private_bytes(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_bytes(key: object) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))  # type: ignore[attr-defined]
