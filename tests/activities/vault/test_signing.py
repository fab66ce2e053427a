"""Certificates of machines: which are signed, for whom, and which are refused."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from structlog.testing import capture_logs

from activities.vault import Task
from activities.vault.issuances import Issuance, as_issued_last
from activities.vault.paths import authority_mount, issuance_path
from api.certificate import CertificateSpec
from api.cluster import ClusterSpec
from api.errors import ErrorCode
from contracts import activities as names
from contracts.certificates import CERTIFICATES, held_by, wanted
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.issuing import ClientCertificate, ClientSigningRequest
from contracts.machines import MachinePlan, MachineRole
from contracts.reporting import ResourceReference
from contracts.vault import (
    Authority,
    SignedCertificates,
    SigningRequest,
    UserCertificate,
    UserCertificateRequest,
)
from tests.activities.vault.certs import alternative_names, greedy_request, new_key, parse, signing_request
from tests.activities.vault.support import Vault, new_cluster
from tests.support.openbao import OpenBao

FIRST_SLOT = MachinePlan(name="control-plane-1", role=MachineRole.CONTROL_PLANE, host=11)
SLOT = MachinePlan(name="control-plane-2", role=MachineRole.CONTROL_PLANE, host=12)
NODE = MachinePlan(name="workers-1", role=MachineRole.NODE, host=20)


def sign(vault: Vault, cluster: ClusterContext, machine: MachinePlan, requests: dict[str, str]) -> dict[str, str]:
    request = SigningRequest(cluster=cluster, machine=machine, instance_id="boot-1", requests=requests)
    signed = vault.run(names.SIGN_CERTIFICATES, request, SignedCertificates)
    leaves = [parse(text) for name, text in signed.files.items() if not name.endswith("-ca.crt")]
    assert signed.expires_at == min((leaf.not_valid_after_utc for leaf in leaves), default=None)
    return signed.files


@pytest.mark.parametrize("machine", [SLOT, NODE], ids=lambda machine: machine.role)
def test_a_machine_gets_all_that_it_may_hold(vault: Vault, made: ClusterContext, machine: MachinePlan) -> None:
    held = held_by(machine.role, "local")
    keys = {item.name: new_key() for item in held}
    files = sign(vault, made, machine, {name: signing_request(key) for name, key in keys.items()})
    authorities = set(Authority) if machine.role is MachineRole.CONTROL_PLANE else {Authority.KUBERNETES}
    assert set(files) == {f"{item.name}.crt" for item in held} | {f"{item}-ca.crt" for item in authorities}
    for item in held:
        certificate = parse(files[f"{item.name}.crt"])
        certificate.verify_directly_issued_by(parse(files[f"{item.authority}-ca.crt"]))
        assert certificate.public_key() == keys[item.name].public_key()
        planned = {*item.dns_names(made, machine), *item.ip_addresses(made, machine)}
        assert alternative_names(certificate) == planned
        left = certificate.not_valid_after_utc - datetime.now(UTC)
        assert abs(left - timedelta(days=7)) < timedelta(minutes=1)
    assert all(text.endswith("-----END CERTIFICATE-----\n") for text in files.values())


def test_what_is_special_about_one_is_signed_and_nothing_else(vault: Vault) -> None:
    special = {
        "name": "kube-apiserver",
        "ttlHours": 24,
        "dnsNames": ["api.example.com"],
        "ipAddresses": ["192.0.2.7", "2001:db8::7"],
    }
    cluster = vault.made(new_cluster(certificates={"components": [special]}))
    slot = SLOT.model_copy(update={"name": "control-plane-1", "host": 11})
    requests = dict.fromkeys(("kube-apiserver", "etcd-server"), signing_request())
    files = sign(vault, cluster, slot, requests)
    api, etcd = parse(files["kube-apiserver.crt"]), parse(files["etcd-server.crt"])
    assert {"api.example.com", "192.0.2.7", "2001:db8::7", "kubernetes"} <= alternative_names(api)
    assert abs(api.not_valid_after_utc - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)
    assert "api.example.com" not in alternative_names(etcd)
    assert abs(etcd.not_valid_after_utc - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)


def test_what_is_known_of_a_certificate_is_told(vault: Vault, made: ClusterContext) -> None:
    request = SigningRequest(
        cluster=made, machine=NODE, instance_id="boot-1", requests={"kubelet-client": signing_request()}
    )
    signed = vault.run(names.SIGN_CERTIFICATES, request, SignedCertificates)
    certificate, told = parse(signed.files["kubelet-client.crt"]), signed.issued["kubelet-client"]
    assert int(told.serial.replace(":", ""), 16) == certificate.serial_number
    assert told.credential == certificate.fingerprint(SHA256()).hex()
    assert told.expires_at == certificate.not_valid_after_utc == signed.expires_at
    assert told.wanted == wanted(CERTIFICATES["kubelet-client"], made, NODE)
    assert told.audited
    authority = parse(signed.files["kubernetes-ca.crt"])
    key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert told.authority_key == key.hex()


def test_a_machine_that_asks_for_one_gets_one_and_its_cas(vault: Vault, made: ClusterContext) -> None:
    files = sign(vault, made, SLOT, {"etcd-peer": signing_request()})
    assert set(files) == {"etcd-peer.crt", "kubernetes-ca.crt", "etcd-ca.crt", "front-proxy-ca.crt"}


def test_what_a_request_says_beside_its_key_does_not_count(vault: Vault, made: ClusterContext) -> None:
    files = sign(vault, made, NODE, {"kubelet-client": greedy_request()})
    assert parse(files["kubelet-client.crt"]).subject.rfc4514_string() == "CN=system:node:workers-1,O=system:nodes"


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (machine, name)
        for machine in (SLOT, NODE)
        for name, item in CERTIFICATES.items()
        if item.holder is not machine.role
    ]
    + [(SLOT, "../admin"), (NODE, "")],
)
def test_what_is_not_the_machines_is_refused(
    vault: Vault, made: ClusterContext, machine: MachinePlan, name: str
) -> None:
    with pytest.raises(StepError, match=f"{machine.name}, a {machine.role} machine, asked for") as raised:
        sign(vault, made, machine, {name: signing_request()})
    assert raised.value.code is ErrorCode.MACHINE_FAILED


def test_unusable_requests_are_refused(vault: Vault, made: ClusterContext) -> None:
    good = signing_request()
    middle = len(good) - 60
    forged = good[:middle] + ("B" if good[middle] == "A" else "A") + good[middle + 1 :]
    faulty = {
        "": "no PKCS #10 request",
        "x" * 9000: "longer than 8192",
        signing_request(ec.generate_private_key(ec.SECP384R1())): "not on the curve P-256",
        signing_request(rsa.generate_private_key(public_exponent=65537, key_size=2048)): "not on the curve P-256",
        forged: "not signed with its own key|no PKCS #10 request",
    }
    for request, why in faulty.items():
        with pytest.raises(StepError, match=why) as raised:
            sign(vault, made, NODE, {"kubelet": request})
        assert raised.value.code is ErrorCode.MACHINE_FAILED


def test_signing_before_the_authority_is_made_says_so(vault: Vault) -> None:
    with pytest.raises(StepError) as raised:
        sign(vault, new_cluster(), NODE, {"kubelet": signing_request()})
    assert raised.value.retryable


def test_the_log_says_where_a_request_came_from(vault: Vault, made: ClusterContext) -> None:
    with capture_logs() as logs:
        files = sign(vault, made, NODE, {"kubelet": signing_request()})
    (line,) = logs
    assert (line["machine"], line["instance_id"]) == ("workers-1", "boot-1")
    serial = int(line["serials"]["kubelet"].replace(":", ""), 16)
    assert serial == parse(files["kubelet.crt"]).serial_number
    assert "BEGIN" not in str(logs)


def test_what_was_signed_is_not_kept_in_the_mount(bao: OpenBao, vault: Vault) -> None:
    cluster = vault.made(new_cluster(controlPlane={"replicas": 3}))
    for machine in (SLOT, NODE):
        sign(vault, cluster, machine, {item.name: signing_request() for item in held_by(machine.role, "local")})
    person = UserCertificateRequest(cluster=cluster, request=signing_request(), user="jane", groups=["viewers"])
    vault.run(names.SIGN_USER_CERTIFICATE, person, UserCertificate)
    resource = ResourceReference(namespace="default", name="prometheus", uid="u-1")
    spec = {"clusterName": "demo", "component": "prometheus", "commonName": "prometheus"}
    client = ClientSigningRequest(
        resource=resource, spec=CertificateSpec.model_validate(spec), cluster=cluster, request=signing_request()
    )
    vault.run(names.SIGN_CLIENT_CERTIFICATE, client, ClientCertificate)
    for authority in Authority:
        mount = authority_mount(cluster.cluster_id, authority)
        root = parse(bao.root.secrets.pki.read_ca_certificate(mount_point=mount))
        [serial] = bao.root.secrets.pki.list_certificates(mount_point=mount)["data"]["keys"]
        assert int(serial.replace("-", "").replace(":", ""), 16) == root.serial_number


def test_what_was_signed_for_which_machine_is_recorded(vault: Vault, made: ClusterContext) -> None:
    for instance_id in ("boot-1", "boot-2"):
        request = SigningRequest(
            cluster=made, machine=SLOT, instance_id=instance_id, requests={"etcd-peer": signing_request()}
        )
        signed = vault.run(names.SIGN_CERTIFICATES, request, SignedCertificates)
        found = vault.client(Task.SIGNER).read(issuance_path(made.cluster_id, SLOT.name))
        assert found is not None
        issuance = Issuance.model_validate(found.data)
        assert issuance.instance_id == instance_id
        [serial] = issuance.serials.values()
        assert int(serial.replace(":", ""), 16) == parse(signed.files["etcd-peer.crt"]).serial_number
        assert abs(datetime.now(UTC) - issuance.issued_at) < timedelta(minutes=1)


def test_what_the_spec_said_when_the_last_was_signed_is_found_again(vault: Vault) -> None:
    before = vault.made(new_cluster())
    signer = vault.client(Task.SIGNER)
    assert as_issued_last(signer, before) == before
    changed = ClusterSpec.model_validate(
        before.spec.model_dump(mode="json", by_alias=True) | {"certificates": {"leafTTLHours": 24}}
    )
    for spec, machine in ((before.spec, NODE), (changed, FIRST_SLOT)):
        cluster = vault.made(before.model_copy(update={"spec": spec}))
        sign(vault, cluster, machine, {held_by(machine.role, "local")[0].name: signing_request()})
    assert as_issued_last(signer, before).spec.certificates == changed.certificates
