"""Certificates of clusters' clients, which ``Certificate`` resources ask for."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import structlog
from temporalio import activity

from activities.vault.client import VaultClient
from activities.vault.passing import PassingRoles
from activities.vault.paths import CLUSTERS, authority_mount, network_path
from activities.vault.requests import check_request
from activities.vault.roles import client_role
from api.certificate import CertificateSpec
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.issuing import ClientCertificate, ClientSigningRequest, IssueRequest
from contracts.vault import Authority, AuthorityFacts
from planning.issuing import overlapping, problems

MACHINE_PREFIX = 24
"""Bits of the prefix of machine networks (``contracts.context.ClusterContext``)."""

log = structlog.get_logger(__name__)


class ClientCertificates:
    """Signs for clients what their cluster's owner may have."""

    def __init__(self, admin: VaultClient, signer: VaultClient, registry: VaultClient) -> None:
        """Use the logins of ``mount-admin`` and ``signer``, and that of ``registry``: it knows all clusters."""
        self._roles = PassingRoles(admin, signer)
        self._signer = signer
        self._registry = registry

    @activity.defn(name=names.FIND_AUTHORITY)
    def find_authority(self, request: IssueRequest) -> AuthorityFacts:
        """Return the CA that is to sign.

        Raises ``StepError``: InvalidSpec for names that a client of this cluster may not have, ClusterNotReady
        while there is no CA.
        """
        _check(request.spec, request.cluster)
        return AuthorityFacts(authority=Authority.KUBERNETES, certificate=self._authority(request.cluster))

    @activity.defn(name=names.SIGN_CLIENT_CERTIFICATE)
    def sign(self, request: ClientSigningRequest) -> ClientCertificate:
        """Return a certificate that says what the spec does. Raises ``StepError`` as ``find_authority`` does."""
        spec, cluster = request.spec, request.cluster
        _check(spec, cluster, [] if request.renewing else self._of_others(spec, cluster))
        try:
            check_request(request.request)
        except ValueError as error:
            message = f"the request for {request.resource.name} can't be signed: {error}"
            raise StepError(ErrorCode.INTERNAL, message) from None
        signed = self._roles.sign(
            authority_mount(cluster.cluster_id, Authority.KUBERNETES),
            client_role(request),
            request.request,
            spec.common_name,
            {"alt_names": ",".join(spec.dns_names), "ip_sans": ",".join(spec.ip_addresses)},
        )
        log.info(
            "client certificate signed",
            cluster_id=cluster.cluster_id,
            certificate=request.resource.name,
            subject=spec.common_name,
            organizations=sorted(spec.organizations),
            serial=signed.serial,
            until=signed.expires_at.isoformat(),
        )
        return ClientCertificate(certificate=signed.certificate)

    def _authority(self, cluster: ClusterContext) -> str:
        mount = authority_mount(cluster.cluster_id, Authority.KUBERNETES)
        certificate = self._signer.authority_certificate(mount)
        if certificate is None:
            raise StepError(
                ErrorCode.CLUSTER_NOT_READY, f"cluster {cluster.name} has no certificate authority yet"
            )
        return certificate

    def _of_others(self, spec: CertificateSpec, cluster: ClusterContext) -> Iterator[str]:
        """Yield a sentence for all that another cluster has, by its spec when it was made."""
        if spec.dns_names:
            for name in overlapping(spec.dns_names, self._names_of_others(cluster)):
                yield f"dnsNames: {name} is another cluster's"
        for address in filter(self._is_held, spec.ip_addresses):
            yield f"ipAddresses: {address} is another cluster's"

    def _names_of_others(self, cluster: ClusterContext) -> Iterator[str]:
        """Yield the names that other clusters' API servers and the like have by their specs."""
        for namespace in self._registry.keys(CLUSTERS):
            for name in self._registry.keys(f"{CLUSTERS}/{namespace.rstrip('/')}"):
                record = self._registry.read(f"{CLUSTERS}/{namespace}{name}")
                if record and record.data.get("clusterId") != cluster.cluster_id:
                    yield from _extra_names(record.data)

    def _is_held(self, address: str) -> bool:
        """Say whether an address is in the machine network of a cluster; its own are no matter here."""
        known = ip_address(address)
        if known.version != 4:
            return False
        network = ip_network(f"{address}/{MACHINE_PREFIX}", strict=False)
        record = self._registry.read(network_path(str(network)))
        return bool(record and not record.data.get("releasedAt"))


def _check(spec: CertificateSpec, cluster: ClusterContext, others: Iterable[str] = ()) -> None:
    """Raise ``StepError`` for what may not be had; ``others`` are sentences about other clusters."""
    if not cluster.machine_network:
        raise StepError(ErrorCode.CLUSTER_NOT_READY, f"cluster {cluster.name} has no addresses yet")
    if found := [*problems(spec, cluster), *others]:
        raise StepError(ErrorCode.INVALID_SPEC, "; ".join(found))


def _extra_names(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names in a registry entry, whose spec today's models may refuse; none of one that is released."""
    if entry.get("releasedAt"):
        return
    for component in ((entry.get("spec") or {}).get("certificates") or {}).get("components") or []:
        yield from component.get("dnsNames") or []
