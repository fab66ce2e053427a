"""A cluster's own keys: how they are made, and sealed to a machine. Pure."""

import base64
import json
import os

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7EnvelopeBuilder, PKCS7Options

from nodes.secrets import ENCRYPTION_CONFIG, SERVICE_ACCOUNT_KEY

MIN_RSA_BITS = 2048
_SECRETBOX_KEY_BYTES = 32


def new_service_account_key() -> dict[str, str]:
    """Return a new P-256 private key, PEM, for tokens signed with ES256 (RFC 7518, section 3.4).

    In the form of SEC 1 (RFC 5915): from it the API server also reads the public key to check tokens with
    (client-go's keyutil.ParsePublicKeysPEM), which it doesn't from PKCS #8.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    return {"private": key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()}


def new_encryption_key() -> dict[str, str]:
    """Return a new key for secretbox, base64."""
    return {"key": base64.b64encode(os.urandom(_SECRETBOX_KEY_BYTES)).decode()}


def encryption_config(key: str) -> str:
    """Return the API server's encryption configuration, YAML, for a key of 32 random bytes, base64.

    Of the providers that take a key from a file Kubernetes calls secretbox (XSalsa20-Poly1305) the strong one:
    aescbc is open to padding oracles, and aesgcm's key would have to change every 200000 writes. ``identity``
    comes last, for reading alone ("Encrypting Confidential Data at Rest").
    """
    providers = [{"secretbox": {"keys": [{"name": "key-1", "secret": key}]}}, {"identity": {}}]
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": providers}],
    }
    return yaml.safe_dump(document, sort_keys=False)


def secret_files(service_account: dict[str, str], encryption: dict[str, str]) -> dict[str, str]:
    """Return the files that a control plane machine needs of the cluster's keys, by name."""
    return {
        SERVICE_ACCOUNT_KEY: service_account["private"],
        ENCRYPTION_CONFIG: encryption_config(encryption["key"]),
    }


def seal(files: dict[str, str], certificate: str) -> str:
    """Return a CMS envelope (RFC 5652, section 6), PEM, of the files as a JSON object.

    AES-256 for the content, whose key goes to the RSA key of ``certificate`` (PEM). Raises ``ValueError``
    when that is no self-signed certificate with an RSA key of at least 2048 bits: the signature proves
    that its maker holds the key.
    """
    recipient = x509.load_pem_x509_certificate(certificate.encode())
    _check_recipient(recipient)
    builder = PKCS7EnvelopeBuilder().set_data(json.dumps(files).encode())
    builder = builder.set_content_encryption_algorithm(AES256).add_recipient(recipient)
    return builder.encrypt(Encoding.PEM, [PKCS7Options.Binary]).decode()


def _check_recipient(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_RSA_BITS:
        raise ValueError(f"the key is not RSA with at least {MIN_RSA_BITS} bits")
    try:
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        raise ValueError("the certificate is not self-signed") from None
