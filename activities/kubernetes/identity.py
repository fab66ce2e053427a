"""Who we are towards a guest cluster, and TLS as that identity without a key on a disk."""

import os
import ssl
from datetime import datetime
from typing import Protocol

from contracts.context import ClusterContext

LIFETIME_SECONDS = 600
"""How long a certificate of ours is asked for: longer than any activity, short since nothing revokes it."""


class ClientIdentity(Protocol):
    """A client certificate with its key, and the CA that servers are checked against; PEM each."""

    @property
    def cert_pem(self) -> str:
        """The certificate."""
        ...

    @property
    def key_pem(self) -> str:
        """Its private key, PKCS #8 or SEC 1, not encrypted."""
        ...

    @property
    def ca_pem(self) -> str:
        """The CA of the same trust domain."""
        ...

    @property
    def not_after(self) -> datetime:
        """When the certificate expires."""
        ...


class Identities(Protocol):
    """Where identities come from."""

    def client_certificate(self, cluster: ClusterContext, name: str, ttl_seconds: int) -> ClientIdentity:
        """Return a certificate of kind ``name`` (``contracts.certificates``), valid for ``ttl_seconds``.

        Raises ``StepError`` with one of the codes of Vault.
        """
        ...


def mutual_tls(identity: ClientIdentity) -> ssl.SSLContext:
    """Return a context that presents the identity and trusts its CA alone.

    OpenSSL reads keys from files only (CPython's ``load_cert_chain``), so it is given an anonymous memory
    file (memfd_create(2)) by its /proc path, which no other user may open and which ends with the descriptor.
    """
    context = server_tls(identity.ca_pem)
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, f"{identity.key_pem}\n{identity.cert_pem}".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def server_tls(ca_pem: str) -> ssl.SSLContext:
    """Return a context that presents nothing and trusts the CA alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=ca_pem)
    return context
