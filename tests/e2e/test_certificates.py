"""Certificates as resources: kubectl alone, on a real cluster with real OpenBao, worker and bridge."""

import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from temporalio.client import Client

from activities.keys import fits
from activities.kubernetes.issuing import REASON, WANTED
from api.certificate import CertificateSpec
from contracts import activities as names
from deploy.stack import Stack
from planning.issuing import wanted
from tests.chaos import living, outside
from tests.chaos.crashing_worker import Kill
from tests.chaos.lanes import Lane, serving
from tests.e2e.people import G8S, attempt, kubectl_path, run
from tests.support.leaks import LeakSearch
from tests.support.resourced import Json, Resourced, condition

pytestmark = pytest.mark.timeout(240)

CLUSTER = "certified"
PATIENCE_S = 60.0

STEPS = (names.FIND_AUTHORITY, names.PREPARE_KEY, names.SIGN_CLIENT_CERTIFICATE, names.STORE_CERTIFICATE)
DEATHS = [Kill(activity=step, moment=moment) for step in STEPS for moment in ("before", "after")]
LAST_DEATHS = [Kill(activity=names.REMOVE_CERTIFICATE, moment=moment) for moment in ("before", "after")]


class Certificates:
    """The certificates of one host cluster, and one cluster that they are for."""

    def __init__(self, clusters: Resourced, cluster_id: str) -> None:
        self.clusters = clusters
        self.cluster_id = cluster_id

    def document(self, name: str, **spec: Any) -> str:
        wanted = {"clusterName": CLUSTER, "component": "prometheus", "commonName": "prometheus", **spec}
        metadata = {"name": name, "namespace": "default"}
        kind = {"apiVersion": "giantnetes.io/v1alpha1", "kind": "Certificate"}
        file = self.clusters.folder / f"{name}.json"
        file.write_text(json.dumps({**kind, "metadata": metadata, "spec": wanted}))
        return str(file)

    def apply(self, name: str, **spec: Any) -> None:
        self.clusters.kubectl("apply", "--filename", self.document(name, **spec))

    def until(self, name: str, wanted: Callable[[Json], bool], seconds: float = PATIENCE_S) -> Json:
        deadline = time.monotonic() + seconds
        while True:
            told = self.clusters.kubectl("get", "certificate", name, "--ignore-not-found", "--output", "json")
            found: Json = json.loads(told or "{}")
            if found and wanted(found):
                return found
            assert time.monotonic() < deadline, json.dumps(found, indent=1)
            time.sleep(0.2)

    def issued(self, name: str) -> Json:
        return self.until(
            name,
            lambda found: (
                condition(found, "Ready").get("status") == "True"
                and found["status"]["observedGeneration"] == found["metadata"]["generation"]
            ),
        )

    def refused(self, name: str) -> Json:
        return condition(
            self.until(name, lambda found: condition(found, "Ready").get("status") == "False"), "Ready"
        )

    def secret(self, name: str) -> Json:
        found: Json = json.loads(self.clusters.kubectl("get", "secret", name, "--output", "json"))
        return found

    def kubeconfig(self, name: str) -> Path:
        """Return a kubeconfig with what is in a Secret."""
        data, folder = self.secret(name)["data"], self.clusters.folder
        for part, value in data.items():
            (folder / f"{name}.{part}").write_bytes(b64decode(value))
        server = json.loads(self.clusters.kubectl("get", "cluster", CLUSTER, "--output", "json"))
        target = folder / f"{name}.kubeconfig"
        authority = f"--certificate-authority={folder}/{name}.ca.crt"
        pair = (f"--client-certificate={folder}/{name}.tls.crt", f"--client-key={folder}/{name}.tls.key")
        kubectl = (kubectl_path(), "--kubeconfig", target, "config")
        run(*kubectl, "set-cluster", "guest", f"--server={server['status']['endpoint']}", authority)
        run(*kubectl, "set-credentials", "client", *pair, "--embed-certs=true")
        run(*kubectl, "set-context", "guest", "--cluster=guest", "--user=client")
        run(*kubectl, "use-context", "guest")
        return target


async def dies(lane: Lane, kills: list[Kill]) -> None:
    """Have the lane's worker die at each moment in turn; it was told of the first already."""
    for kill in kills:
        lane.arm(kill)
        await lane.death()


@pytest.fixture(scope="module")
def certificates(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificates]:
    """A cluster of one control plane machine, made by its resource."""
    clusters = Resourced(stack.host_kubeconfig, tmp_path_factory.mktemp("certificates"))
    clusters.apply(CLUSTER, provider="local", nodePools=[{"name": "workers", "replicas": 1}])
    found = clusters.until_available(CLUSTER)
    yield Certificates(clusters, found["status"]["clusterId"])
    clusters.delete(CLUSTER)


def test_a_client_logs_in_by_its_secret_until_that_is_removed(
    certificates: Certificates, leak_search: LeakSearch, tmp_path: Path
) -> None:
    certificates.apply("prometheus", organizations=["monitoring"], ttlHours=24)
    found = certificates.issued("prometheus")
    status, secret = found["status"], certificates.secret("prometheus")
    assert (status["reason"], status["secretName"]) == ("there is none that fits its key", "prometheus")
    assert secret["type"] == "kubernetes.io/tls"
    assert sorted(secret["data"]) == ["ca.crt", "tls.crt", "tls.key"]
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [found["metadata"]["uid"]]
    assert secret["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "giantnetes",
        "giantnetes.io/cluster": CLUSTER,
        "giantnetes.io/component": "prometheus",
    }
    said = wanted(CertificateSpec.model_validate(found["spec"]))
    assert secret["metadata"]["annotations"] == {WANTED: said, REASON: status["reason"]}
    assert (WANTED, REASON) == ("giantnetes.io/spec-hash", "giantnetes.io/reason")
    certificate = x509.load_pem_x509_certificate(b64decode(secret["data"]["tls.crt"]))
    assert int(status["serialNumber"].replace(":", ""), 16) == certificate.serial_number
    assert certificate.subject.rfc4514_string() == "CN=prometheus,O=monitoring"
    assert status["notAfter"] in certificates.clusters.kubectl("get", "certificate", "prometheus")
    until = json.loads(certificates.clusters.kubectl("get", "cluster", CLUSTER, "--output", "json"))["status"]
    wide = certificates.clusters.kubectl("get", "cluster", CLUSTER, "--output", "wide")
    assert until["certificatesExpireAt"] in wide

    kubeconfig = certificates.kubeconfig("prometheus")
    leak_search.collect(certificates.cluster_id, kubeconfig)
    guest = (kubectl_path(), "--kubeconfig", kubeconfig, "get", "pods")
    assert 'User "prometheus" cannot list' in attempt(*guest).stderr
    admin = tmp_path / "admin.yaml"
    breaking = ("--group", "giantnetes:cluster-admins", "--break-glass", "--output", admin)
    run(G8S, "kubeconfig", CLUSTER, *breaking)
    binding = ("create", "clusterrolebinding", "monitoring", "--clusterrole=view", "--group=monitoring")
    run(kubectl_path(), "--kubeconfig", admin, *binding)
    assert "No resources found" in attempt(*guest).stderr

    certificates.clusters.kubectl("delete", "certificate", "prometheus", "--timeout=30s")
    assert not certificates.clusters.kubectl("get", "secrets", "--output", "name")


def test_a_changed_spec_is_issued_anew(certificates: Certificates) -> None:
    certificates.apply("changing")
    before = certificates.issued("changing")["status"]
    certificates.apply("changing", dnsNames=["metrics.example.com"])
    after = certificates.issued("changing")["status"]
    assert after["reason"] == "the spec changed"
    assert after["serialNumber"] != before["serialNumber"]
    certificate = x509.load_pem_x509_certificate(b64decode(certificates.secret("changing")["data"]["tls.crt"]))
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternative.get_values_for_type(x509.DNSName) == ["metrics.example.com"]
    certificates.clusters.kubectl("delete", "certificate", "changing", "--timeout=30s")


def test_what_an_owner_may_not_have_is_refused(certificates: Certificates) -> None:
    greedy = (
        {"organizations": ["system:masters"]},
        {"ipAddresses": ["169.254.1.1"]},
        {"ttlHours": 721},
        {"machine": "workers-1"},
    )
    for spec in greedy:
        file = certificates.document("greedy", **spec)
        done = attempt(
            kubectl_path(), "--kubeconfig", certificates.clusters.kubeconfig, "apply", "--filename", file
        )
        assert done.returncode != 0, spec
        assert next(iter(spec)) in done.stderr
    certificates.apply("posing", dnsNames=["kubernetes.default.svc"])
    refused = certificates.refused("posing")
    assert refused["reason"] == "InvalidSpec"
    assert "kubernetes.default.svc is the cluster's own" in refused["message"]
    certificates.apply("posing", dnsNames=[])
    certificates.issued("posing")
    certificates.clusters.kubectl("delete", "certificate", "posing", "--timeout=30s")


def test_a_secret_that_is_somebody_elses_is_left_alone(certificates: Certificates) -> None:
    certificates.clusters.kubectl("create", "secret", "generic", "taken", "--from-literal=tls.key=mine")
    certificates.apply("taken")
    assert certificates.refused("taken")["reason"] == "NameConflict"
    certificates.clusters.kubectl("delete", "certificate", "taken", "--timeout=30s")
    assert b64decode(certificates.secret("taken")["data"]["tls.key"]) == b"mine"
    certificates.clusters.kubectl("delete", "secret", "taken")


def test_a_certificate_waits_for_its_cluster(certificates: Certificates) -> None:
    certificates.apply("early", clusterName="late")
    assert certificates.refused("early")["reason"] == "ClusterNotFound"
    certificates.clusters.apply("late")
    certificates.apply("earlier", clusterName="late")  # while the cluster is being made
    certificates.issued("earlier")
    certificates.until("early", lambda found: condition(found, "Ready")["status"] == "True", seconds=90)
    for name in ("early", "earlier"):
        certificates.clusters.kubectl("delete", "certificate", name, "--timeout=30s")
    certificates.clusters.delete("late")


def test_a_certificate_follows_its_cluster(certificates: Certificates) -> None:
    certificates.clusters.apply("remade")
    certificates.apply("following", clusterName="remade")
    certificates.issued("following")
    certificates.clusters.delete("remade")
    assert certificates.refused("following")["reason"] == "ClusterNotFound"
    certificates.clusters.apply("remade")
    certificates.issued("following")
    certificates.clusters.delete("remade")
    certificates.clusters.kubectl("delete", "certificate", "following", "--timeout=30s")


async def test_a_worker_that_dies_between_any_two_steps_twice(
    certificates: Certificates, stack: Stack, client: Client, tmp_path: Path
) -> None:
    kubectl = certificates.clusters.kubectl
    outside.supervisor(stack).stop_group("worker", kill=True)
    try:
        access = {"KUBECONFIG": str(stack.process_kubeconfig("worker"))}
        async with serving(stack, client, tmp_path, **access) as lane:
            lane.arm(DEATHS[0])
            certificates.apply("mortal")
            await dies(lane, DEATHS)
            status = certificates.issued("mortal")["status"]
            pair = {name: b64decode(part) for name, part in certificates.secret("mortal")["data"].items()}
            assert fits(pair["tls.crt"].decode(), pair["tls.key"].decode())
            serial = x509.load_pem_x509_certificate(pair["tls.crt"]).serial_number
            assert int(status["serialNumber"].replace(":", ""), 16) == serial
            assert kubectl("get", "secrets", "--output", "name") == "secret/mortal\n"

            lane.arm(LAST_DEATHS[0])
            kubectl("delete", "certificate", "mortal", "--wait=false")
            await dies(lane, LAST_DEATHS)
            kubectl("wait", "--for=delete", "certificate/mortal", "--timeout=60s")
            assert not kubectl("get", "secrets", "--output", "name")
    finally:
        outside.supervisor(stack).start_group("worker")


def test_vault_that_is_away_is_told_of_and_waited_for(certificates: Certificates, stack: Stack) -> None:
    outside.supervisor(stack).stop_group("openbao", kill=True)
    try:
        certificates.apply("patient")
        refused = certificates.refused("patient")
        assert refused["reason"] == "Issuing"
        assert "FindAuthority: Vault" in refused["message"]
    finally:
        outside.restart_openbao(stack)
    certificates.until("patient", lambda found: condition(found, "Ready")["status"] == "True", seconds=120)
    certificates.clusters.kubectl("delete", "certificate", "patient", "--timeout=30s")


def test_those_of_components_are_shown_and_put_back(certificates: Certificates, stack: Stack) -> None:
    serials = living.serials(stack, certificates.cluster_id)
    for machine, component in (("control-plane-1", "kube-apiserver"), ("workers-1", "kubelet")):
        name = f"{CLUSTER}.{machine}.{component}"
        found = certificates.issued(name)
        told = int(found["status"]["serialNumber"].replace(":", ""), 16)
        assert told == serials[f"{machine}/state/pki/current/{component}.crt"]
        assert found["status"]["reason"] == "the machine is new"
    name = f"{CLUSTER}.control-plane-1.kube-apiserver"
    change = ("--type=merge", "--patch", '{"status": {"serialNumber": "0a"}}', "--subresource=status")
    certificates.clusters.kubectl("patch", "certificate", name, *change)
    certificates.until(name, lambda found: found["status"]["serialNumber"] != "0a")
    certificates.clusters.kubectl("delete", "certificate", name)
    assert certificates.issued(name)["spec"]["commonName"] == "kube-apiserver"
    run(G8S, "certificates", CLUSTER, "--renew")
    certificates.until(name, lambda found: found["status"]["reason"] == "somebody asked for it")
