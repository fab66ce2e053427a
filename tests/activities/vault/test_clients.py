"""Certificates of clusters' clients: what they say, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from api.certificate import CertificateSpec
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.issuing import ClientCertificate, ClientSigningRequest, IssueRequest
from contracts.reporting import ResourceReference
from contracts.vault import Authority, AuthorityFacts, ClaimRequest, Claims
from tests.activities.vault.certs import (
    alternative_names,
    common_name,
    greedy_request,
    organizations,
    parse,
    signing_request,
    usages,
)
from tests.activities.vault.support import Vault, new_cluster

RESOURCE = ResourceReference(namespace="default", name="prometheus", uid="u-1")
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def spec(cluster: ClusterContext, **fields: Any) -> CertificateSpec:
    wanted = {"clusterName": cluster.name[:40], "component": "prometheus", "commonName": "prometheus", **fields}
    return CertificateSpec.model_validate(wanted)


def find(vault: Vault, cluster: ClusterContext, **fields: Any) -> AuthorityFacts:
    request = IssueRequest(resource=RESOURCE, generation=1, spec=spec(cluster, **fields), cluster=cluster)
    return vault.run(names.FIND_AUTHORITY, request, AuthorityFacts)


def sign(
    vault: Vault, cluster: ClusterContext, request: str = "", *, renewing: bool = False, **fields: Any
) -> ClientCertificate:
    asked = ClientSigningRequest(
        resource=RESOURCE,
        spec=spec(cluster, **fields),
        cluster=cluster,
        request=request or signing_request(),
        renewing=renewing,
    )
    return vault.run(names.SIGN_CLIENT_CERTIFICATE, asked, ClientCertificate)


def test_a_client_gets_what_its_spec_says(vault: Vault, made: ClusterContext) -> None:
    signed = sign(vault, made, commonName="Prometheus, the 2nd", organizations=["monitoring", "ops"], ttlHours=2)
    certificate = parse(signed.certificate)
    certificate.verify_directly_issued_by(parse(find(vault, made).certificate))
    assert common_name(certificate) == "Prometheus, the 2nd"
    assert sorted(organizations(certificate)) == ["monitoring", "ops"]
    assert usages(certificate) == {CLIENT}
    assert alternative_names(certificate) == set()
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert abs(left - timedelta(hours=2)) < timedelta(seconds=30)


def test_who_has_names_is_a_server_too(vault: Vault, made: ClusterContext) -> None:
    dns, addresses = ["*.metrics.example.com"], ["10.9.8.7", "2001:db8::1"]
    certificate = parse(sign(vault, made, dnsNames=dns, ipAddresses=addresses).certificate)
    assert usages(certificate) == {CLIENT, SERVER}
    assert alternative_names(certificate) == {*dns, *addresses}


def test_only_the_key_of_a_request_counts(vault: Vault, made: ClusterContext) -> None:
    certificate = parse(sign(vault, made, greedy_request()).certificate)
    assert certificate.subject.rfc4514_string() == "CN=prometheus"
    assert alternative_names(certificate) == set()


def test_names_and_addresses_of_other_clusters_are_refused_at_first(vault: Vault, made: ClusterContext) -> None:
    components = [{"name": "kube-apiserver", "dnsNames": ["api.other.example"]}]
    other = new_cluster(certificates={"components": components})
    claims = vault.run(names.CLAIM, ClaimRequest(cluster=other), Claims)
    address = claims.machine_network.replace(".0/24", ".11")
    with pytest.raises(StepError) as refused:
        sign(vault, made, dnsNames=["api.other.example"], ipAddresses=["10.9.8.7"])
    assert refused.value.code is ErrorCode.INVALID_SPEC
    assert refused.value.message == "dnsNames: api.other.example is another cluster's"
    with pytest.raises(StepError, match=f"ipAddresses: {address} is another cluster's"):
        sign(vault, made, ipAddresses=[address])
    # Who had them first keeps them.
    sign(vault, made, renewing=True, dnsNames=["api.other.example"])


def test_the_cluster_s_own_names_are_refused(vault: Vault, made: ClusterContext) -> None:
    with pytest.raises(StepError, match=r"dnsNames: kubernetes\.default is the cluster's own"):
        sign(vault, made, dnsNames=["kubernetes.default"])


def test_a_cluster_without_an_authority_is_waited_for(vault: Vault) -> None:
    with pytest.raises(StepError) as early:
        find(vault, new_cluster())
    assert (early.value.code, early.value.retryable) == (ErrorCode.CLUSTER_NOT_READY, True)
    with pytest.raises(StepError, match="has no addresses yet"):
        find(vault, new_cluster().model_copy(update={"machine_network": ""}))


def test_the_authority_is_that_of_the_api(vault: Vault, made: ClusterContext) -> None:
    assert find(vault, made).authority is Authority.KUBERNETES
