"""Certificates of the host cluster's API in the local stack, and kubeconfigs of those who use it.

Two certificate authorities, one for Kubernetes and one for etcd, so that no client of one is let in by the other
(https://kubernetes.io/docs/setup/best-practices/certificates/). Keys are P-256. A key and its certificate share
one PEM file, which every reader here accepts, so that a renewal never leaves a pair that does not match.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.stack.files import write_private
from deploy.stack.model import LOOPBACK, Stack

CA_VALIDITY = timedelta(days=3650)
VALIDITY = timedelta(days=365)
RENEW_BEFORE = timedelta(days=60)
CLOCK_SKEW = timedelta(hours=1)

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Leaf:
    """A certificate of the host cluster: its file's name, who issues it, whom it names, what it is for."""

    name: str
    ca: str
    common_name: str
    usages: tuple[x509.ObjectIdentifier, ...]
    organization: str | None = None


LEAVES = (
    Leaf("etcd", "etcd-ca", "host-etcd", (SERVER, CLIENT)),
    Leaf("apiserver-etcd-client", "etcd-ca", "kube-apiserver-etcd-client", (CLIENT,)),
    Leaf("apiserver", "kubernetes-ca", "kube-apiserver", (SERVER,)),
    Leaf("admin", "kubernetes-ca", "kubernetes-admin", (CLIENT,), organization="system:masters"),
    Leaf("bridge", "kubernetes-ca", "giantnetes-bridge", (CLIENT,)),
    Leaf("worker", "kubernetes-ca", "giantnetes-worker", (CLIENT,)),
)
_SERVER_NAMES = (
    x509.DNSName("localhost"),
    x509.DNSName("kubernetes.default.svc"),
    x509.IPAddress(ip_address(LOOPBACK)),
)


def pki(stack: Stack) -> Path:
    """Return the folder of the host cluster's keys and certificates."""
    return stack.state / "host" / "pki"


def ensure(stack: Stack, now: datetime | None = None) -> None:
    """Make what is missing of the host cluster's keys and certificates, and renew what ends within two months."""
    now = now or datetime.now(UTC)
    folder = pki(stack)
    for leaf in LEAVES:
        authority = _authority(folder, leaf.ca, now)
        path = folder / f"{leaf.name}.pem"
        if not _good(path, authority[0], now):
            key = ec.generate_private_key(ec.SECP256R1())
            write_private(path, _pem(key) + _issue(leaf, key, authority, now).public_bytes(_PEM))
    if not (folder / "service-account.key").exists():
        write_private(folder / "service-account.key", _pem(ec.generate_private_key(ec.SECP256R1())))
    write_private(stack.host_kubeconfig, _kubeconfig(stack, folder, "admin"))
    for process in ("bridge", "worker"):
        write_private(stack.process_kubeconfig(process), _kubeconfig(stack, folder, process))


Authority = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
_PEM = serialization.Encoding.PEM


def _authority(folder: Path, name: str, now: datetime) -> Authority:
    """Return the certificate authority ``name`` from its files; make it when either is missing."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    if not (certificate.exists() and key.exists()):
        private = ec.generate_private_key(ec.SECP256R1())
        write_private(key, _pem(private))
        write_private(certificate, _self_signed(name, private, now).public_bytes(_PEM))
    private_key = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{key} holds no elliptic curve key")
    return x509.load_pem_x509_certificate(certificate.read_bytes()), private_key


def _self_signed(name: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"giantnetes-host-{name}")])
    builder = _builder(subject, subject, key, now, CA_VALIDITY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_key_usage(ca=True), critical=True).sign(key, hashes.SHA256())


def _issue(leaf: Leaf, key: ec.EllipticCurvePrivateKey, authority: Authority, now: datetime) -> x509.Certificate:
    issuer, issuer_key = authority
    names = [x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name)]
    if leaf.organization:
        names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.organization))
    builder = _builder(x509.Name(names), issuer.subject, key, now, VALIDITY)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(ca=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(leaf.usages), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    if SERVER in leaf.usages:
        builder = builder.add_extension(x509.SubjectAlternativeName(_SERVER_NAMES), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, validity: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _good(path: Path, issuer: x509.Certificate, now: datetime) -> bool:
    """Return whether the file holds a certificate of ``issuer`` that stays valid for a while."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        certificate.verify_directly_issued_by(issuer)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return certificate.not_valid_after_utc - now > RENEW_BEFORE


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def _kubeconfig(stack: Stack, folder: Path, user: str) -> str:
    cluster = {"server": stack.host_api_url, "certificate-authority": str(folder / "kubernetes-ca.crt")}
    pair = str(folder / f"{user}.pem")
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "host", "cluster": cluster}],
            "users": [{"name": user, "user": {"client-certificate": pair, "client-key": pair}}],
            "contexts": [{"name": "host", "context": {"cluster": "host", "user": user}}],
            "current-context": "host",
        },
        sort_keys=False,
    )
