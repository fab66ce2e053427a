"""Checks of signing requests. Pure."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

MAX_REQUEST_CHARACTERS = 8192


def check_request(request: str) -> None:
    """Check that a PKCS #10 request (RFC 2986, PEM) holds a P-256 key and is signed with it.

    The signature proves that the sender has the private key. The curve is checked here because Vault takes
    larger ones too. Nothing else of the request counts. Raises ``ValueError`` with a sentence that says why.
    """
    if len(request) > MAX_REQUEST_CHARACTERS:
        raise ValueError(f"it is longer than {MAX_REQUEST_CHARACTERS} characters")
    try:
        parsed = x509.load_pem_x509_csr(request.encode())
        key = parsed.public_key()
        valid = parsed.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        raise ValueError("it is no PKCS #10 request in PEM with a key of a known kind") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("its key is not on the curve P-256")
    if not valid:
        raise ValueError("it is not signed with its own key")
