"""How narrow roles are: what the task ``signer`` can get signed at a role, and what it can't."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from activities.vault import Task
from activities.vault.roles import SHORT_TTL_SECONDS
from contracts.certificates import CERTIFICATES, Certificate, Usage
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.machines import MachinePlan, MachineRole
from planning.create import machine_groups
from tests.activities.vault.certs import (
    alternative_names,
    common_name,
    greedy_request,
    new_key,
    organizations,
    parse,
    signing_request,
    usages,
)
from tests.activities.vault.support import Vault

REQUEST = signing_request()
USAGE = {Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}
CLIENTS = sorted(name for name, item in CERTIFICATES.items() if Usage.SERVER not in item.usage)
SERVERS = sorted(name for name, item in CERTIFICATES.items() if Usage.SERVER in item.usage)

Sign = Callable[..., x509.Certificate]


@pytest.fixture(scope="module")
def sign(vault: Vault, made: ClusterContext) -> Sign:
    """Sign at a role, as the signer; parameters are those of Vault."""
    client = vault.client(Task.SIGNER)

    def run(role: str, cn: str = "", request: str = REQUEST, **params: object) -> x509.Certificate:
        item = CERTIFICATES[role]
        mount = f"pki/{made.cluster_id}/{item.authority}"
        cn = cn or item.subject(holder(made, item).name)
        return parse(client.sign(mount, role, request, cn, {"exclude_cn_from_sans": True, **params}).certificate)

    return run


def holder(cluster: ClusterContext, item: Certificate) -> MachinePlan:
    """Return a machine that may hold a certificate."""
    groups = machine_groups(cluster.spec)
    return groups["workers" if item.holder is MachineRole.NODE else "control-plane"][-1]


def refused(why: str, run: Callable[..., object], *args: object, **params: object) -> None:
    with pytest.raises(StepError, match=why):
        run(*args, **params)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_role_fixes_all_but_the_key(sign: Sign, made: ClusterContext, name: str) -> None:
    item = CERTIFICATES[name]
    machine = holder(made, item)
    dns, addresses = item.dns_names(made, machine), item.ip_addresses(made, machine)
    certificate = sign(name, alt_names=",".join(dns), ip_sans=",".join(addresses), request=greedy_request())
    assert common_name(certificate) == item.subject(machine.name)
    assert organizations(certificate) == ([item.organization] if item.organization else [])
    assert len(certificate.subject) == 1 + bool(item.organization)
    assert alternative_names(certificate) == {*dns, *addresses}
    assert usages(certificate) == {oid for usage, oid in USAGE.items() if usage in item.usage}
    key_usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert key_usage.digital_signature
    assert not key_usage.key_cert_sign
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.BasicConstraints)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_role_fixes_the_lifetime(sign: Sign, made: ClusterContext, name: str) -> None:
    longest = timedelta(seconds=SHORT_TTL_SECONDS.get(name, made.spec.certificates.leaf_ttl_hours * 3600))
    certificate = sign(name, ttl="80000h")
    now = datetime.now(UTC)
    assert abs(certificate.not_valid_after_utc - now - longest) < timedelta(minutes=1)
    assert abs(now - certificate.not_valid_before_utc - timedelta(hours=1)) < timedelta(minutes=1)
    refused("not_after_bound", sign, name, not_after="2040-01-01T00:00:00Z")
    refused("not_before_bound", sign, name, not_before="2020-01-01T00:00:00Z")


def test_no_role_signs_the_name_of_another(sign: Sign, made: ClusterContext) -> None:
    for one, other in product(CERTIFICATES.values(), repeat=2):
        if one.authority is other.authority and one.common_name != other.common_name:
            stolen = other.subject(holder(made, other).name)
            refused("not allowed by this role", sign, one.name, stolen)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_role_signs_no_alternative_name(sign: Sign, name: str) -> None:
    refused("alternate name kubernetes not allowed", sign, name, alt_names="kubernetes")
    refused("IP Subject Alternative Names are not allowed", sign, name, ip_sans="127.0.0.1")


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_role_signs_only_planned_names_and_addresses(sign: Sign, name: str) -> None:
    for alien in (
        "evil.example",
        "kubernetes.evil.example",
        "*.default.svc",
        "control-plane-4",
        "localhost.evil.example",
    ):
        refused("alternate name .* not allowed", sign, name, alt_names=alien)
    for address in ("127.64.2.11", "10.96.0.2", "8.8.8.8"):
        refused("is not allowed in this role", sign, name, ip_sans=address)


def test_what_is_no_host_name_is_left_out(sign: Sign) -> None:
    assert alternative_names(sign("kubelet", alt_names="*,workers-*")) == set()


@pytest.mark.parametrize("name", CERTIFICATES)
def test_no_role_signs_other_kinds_of_names(sign: Sign, name: str) -> None:
    refused("URI Subject Alternative Names are not allowed", sign, name, uri_sans="spiffe://evil")
    refused("other SAN OID .* not allowed", sign, name, other_sans="1.3.6.1.4.1.311.20.2.3;UTF8:evil")
    refused("user_id evil is not allowed", sign, name, user_ids="evil")
    refused("serial_number evil not allowed", sign, name, serial_number="evil")


@pytest.mark.parametrize("name", ["kubelet", "kubelet-client"])
def test_a_kubelet_role_signs_only_nodes_of_the_pools(sign: Sign, name: str) -> None:
    assert common_name(sign(name, "system:node:gpu-77")) == "system:node:gpu-77"
    for alien in ("system:node:control-plane-1", "system:node:other-1", "kubernetes-admin", "system:masters"):
        refused("not allowed by this role", sign, name, alien)


def test_vault_itself_refuses_keys_of_another_kind(sign: Sign) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refused("keys of type ec", sign, "admin", request=signing_request(key))


def test_a_certificate_carries_the_requests_key(sign: Sign) -> None:
    key = new_key()
    assert sign("admin", request=signing_request(key)).public_key() == key.public_key()
