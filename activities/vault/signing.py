"""Certificates of machines."""

from datetime import datetime
from functools import partial
from hashlib import sha256

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from temporalio import activity

from activities.parallel import gather
from activities.vault.client import Signed, VaultClient
from activities.vault.clock import utc_now
from activities.vault.issuances import record_issuance
from activities.vault.paths import authority_mount
from activities.vault.requests import check_request
from api.errors import ErrorCode
from contracts import activities as names
from contracts.certificates import Certificate, held_by, wanted
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.machines import MachineRole
from contracts.vault import Authority, Issued, SignedCertificates, SigningRequest

log = structlog.get_logger(__name__)

AUTHORITIES_OF_ROLE = {
    MachineRole.CONTROL_PLANE: tuple(Authority),
    MachineRole.NODE: (Authority.KUBERNETES,),
}
"""The CAs whose certificates a machine needs: to check whom it speaks with."""


class Signing:
    """Signs what machines ask for, as the task ``signer``, which can change no role."""

    def __init__(self, signer: VaultClient) -> None:
        """Use the login of ``signer``."""
        self._signer = signer

    @activity.defn(name=names.SIGN_CERTIFICATES)
    def sign(self, request: SigningRequest) -> SignedCertificates:
        """Return the certificates that a machine asked for, and those of its CAs; first records what was signed.

        Raises ``StepError``: MachineFailed for a request that is unusable or not this machine's to make.
        """
        certificates = [_entitled(request, name) for name in request.requests]
        authorities = AUTHORITIES_OF_ROLE[request.machine.role]
        signed = gather([partial(self._sign, request, certificate) for certificate in certificates])
        roots = gather(
            [partial(read_authority, self._signer, request.cluster, authority) for authority in authorities]
        )
        serials = {item.name: leaf.serial for item, leaf in zip(certificates, signed, strict=True)}
        log.info(
            "certificates signed",
            cluster_id=request.cluster.cluster_id,
            machine=request.machine.name,
            instance_id=request.instance_id,
            serials=serials,
        )
        record_issuance(self._signer, request, serials)
        leaves = {f"{item.name}.crt": leaf.certificate for item, leaf in zip(certificates, signed, strict=True)}
        anchors = {f"{item}-ca.crt": root for item, root in zip(authorities, roots, strict=True)}
        now = utc_now()
        return SignedCertificates(
            files={**leaves, **anchors},
            expires_at=min((leaf.expires_at for leaf in signed), default=None),
            issued={
                item.name: _issued(request, item, leaf, now)
                for item, leaf in zip(certificates, signed, strict=True)
            },
        )

    def _sign(self, request: SigningRequest, certificate: Certificate) -> Signed:
        cluster, machine = request.cluster, request.machine
        return self._signer.sign(
            authority_mount(cluster.cluster_id, certificate.authority),
            certificate.name,
            request.requests[certificate.name],
            certificate.subject(machine.name),
            {
                "alt_names": ",".join(certificate.dns_names(cluster, machine)),
                "ip_sans": ",".join(certificate.ip_addresses(cluster, machine)),
                "exclude_cn_from_sans": True,
            },
        )


def _issued(request: SigningRequest, certificate: Certificate, leaf: Signed, now: datetime) -> Issued:
    parsed = x509.load_pem_x509_certificate(leaf.certificate.encode())
    signed_by = parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return Issued(
        serial=leaf.serial,
        issued_at=now,
        expires_at=leaf.expires_at,
        starts_at=parsed.not_valid_before_utc,
        credential=sha256(parsed.public_bytes(Encoding.DER)).hexdigest(),
        wanted=wanted(certificate, request.cluster, request.machine),
        audited=certificate.audited,
        reason=request.reason,
        authority_key=(signed_by or b"").hex(),
    )


def read_authority(signer: VaultClient, cluster: ClusterContext, authority: Authority) -> str:
    """Return the certificate of a cluster's CA, PEM. Raises ``StepError`` Internal when it is not made yet."""
    mount = authority_mount(cluster.cluster_id, authority)
    certificate = signer.authority_certificate(mount)
    if certificate is None:
        raise StepError(ErrorCode.INTERNAL, f"Vault: there is no CA at {mount}: EnsureAuthority comes first")
    return certificate


def _entitled(request: SigningRequest, name: str) -> Certificate:
    """Return the table's entry for a request, when this machine may make it and it is sound."""
    machine = request.machine
    held = {kind.name: kind for kind in held_by(machine.role, request.cluster.spec.provider)}
    certificate = held.get(name)
    if certificate is None:
        raise StepError(
            ErrorCode.MACHINE_FAILED, f"{machine.name}, a {machine.role} machine, asked for {name[:80]!r}"
        )
    try:
        check_request(request.requests[name])
    except ValueError as error:
        raise StepError(
            ErrorCode.MACHINE_FAILED, f"{machine.name} sent a request for {name} that can't be signed: {error}"
        ) from None
    return certificate
