"""Everything that somebody may present: real certificates, and those that only look like them."""

import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from activities.vault.client import VaultClient
from activities.vault.paths import authority_mount
from contracts.certificates import CERTIFICATES, MASTERS
from contracts.context import ClusterContext
from contracts.machines import MachinePlan, MachineRole

NOBODY = MachinePlan(name="", role=MachineRole.NODE, host=1)
"""Holder of certificates that no machine holds: their names have no machine in them."""


@dataclass(frozen=True)
class Credential:
    """A certificate with its key, PEM; both are empty for who presents nothing."""

    certificate: str = ""
    key: str = field(default="", repr=False)

    @property
    def parsed(self) -> x509.Certificate:
        """The certificate."""
        return x509.load_pem_x509_certificate(self.certificate.encode())

    @property
    def user(self) -> str:
        """Whom Kubernetes takes the bearer for: the common name."""
        return "".join(_attributes(self.parsed.subject, NameOID.COMMON_NAME))

    @property
    def groups(self) -> list[str]:
        """Which groups Kubernetes sees: the organisations."""
        return _attributes(self.parsed.subject, NameOID.ORGANIZATION_NAME)


def _attributes(name: x509.Name, kind: x509.ObjectIdentifier) -> list[str]:
    return [str(item.value) for item in name.get_attributes_for_oid(kind)]


def held(machine: Path) -> Mapping[str, Credential]:
    """Return what the machine in a folder holds, by name."""
    folder = machine / "state" / "pki" / "current"
    return {
        key.stem: Credential(key.with_suffix(".crt").read_text(), key.read_text()) for key in folder.glob("*.key")
    }


@dataclass(frozen=True)
class Signer:
    """The CAs of a cluster, at the roles that the project made, with the login of the task ``signer``."""

    vault: VaultClient
    cluster: ClusterContext

    def issue(self, name: str, machine: MachinePlan = NOBODY, ttl_seconds: int = 600) -> Credential:
        """Return a certificate of a kind for a machine."""
        kind = CERTIFICATES[name]
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        signed = self.vault.sign(
            authority_mount(self.cluster.cluster_id, kind.authority),
            name,
            request.public_bytes(Encoding.PEM).decode(),
            kind.subject(machine.name),
            {
                "ttl": f"{ttl_seconds}s",
                "alt_names": ",".join(kind.dns_names(self.cluster, machine)),
                "ip_sans": ",".join(kind.ip_addresses(self.cluster, machine)),
                "exclude_cn_from_sans": True,
            },
        )
        return Credential(signed.certificate, _private(key))


def made_up(issuer: x509.Name | None = None) -> Credential:
    """Return super-admin's subject, signed with its own key and not by ``issuer``, whose name it has."""
    kind, key, now = CERTIFICATES["super-admin"], ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, MASTERS),
            x509.NameAttribute(NameOID.COMMON_NAME, kind.common_name),
        ]
    )
    builder = x509.CertificateBuilder(
        issuer_name=issuer or subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(hours=1),
    ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    return Credential(certificate, _private(key))


def present(context: ssl.SSLContext, credential: Credential) -> None:
    """Have a context present a credential. OpenSSL reads keys from files only; this one lives for a moment."""
    if credential.certificate:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(credential.key + credential.certificate)
            file.flush()
            context.load_cert_chain(file.name)


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
