"""The definitions as a real API server takes them: what Python refuses, it refuses too."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
import yaml
from pydantic import ValidationError

from api.certificate import CertificateSpec
from api.cluster import ClusterSpec
from api.crds import KINDS
from api.release import MachineImages
from api.rules import faults
from planning.releases import RELEASES
from tests.e2e.people import attempt, kubectl, kubectl_path
from tests.support.guest import CertificateAuthority
from tests.support.host import host_cluster
from workers.bridge import __main__ as bridge
from workers.bridge.settings import from_environment

SPEC: dict[str, Any] = {"provider": "local", "owner": "acme", "release": "1.37.2-1"}
POOL: dict[str, Any] = {"name": "workers"}
OIDC: dict[str, Any] = {"issuerURL": "https://issuer.example", "clientID": "g8s"}
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
Case = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    """A host cluster that knows our resources."""
    with host_cluster() as stack:
        yield stack.host_kubeconfig


def test_schemas_are_structural(kubeconfig: Path) -> None:
    for kind in KINDS:
        found = json.loads(kubectl(kubeconfig, "get", "crd", kind.crd_name, "--output", "json"))
        conditions = {item["type"]: item["status"] for item in found["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def pools(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"nodePools": [{**POOL, **change} for change in changes]}


def machine(**size: int) -> dict[str, Any]:
    return {"machine": {"cpus": 2, "memoryMiB": 4096, **size}}


ACCEPTED: list[dict[str, Any]] = [
    {},
    {"controlPlane": {"replicas": 3}, "ingress": {"version": "3.7.15"}},
    pools({"replicas": 100}, {"name": "others", "min": 2, "replicas": 2, "max": 5}),
    pools({"labels": {"team": "a", "node.kubernetes.io/kind": "b", "x.kubelet.kubernetes.io/a": ""}}),
    pools({"labels": {"example.com/x": "y", "mygiantnetes.io/x": "", f"{'a' * 64}/x": ""}}),
    pools({"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}]}),
    {"network": {"podCIDR": "10.0.0.0/8", "serviceCIDR": "192.168.0.0/24"}},
    {"network": {"podCIDR": "172.16.0.0/22"}, **pools({"replicas": 4})},
    {"apiServer": {"oidc": OIDC, "featureGates": {"AllAlpha": True}, "audit": {"level": "Request"}}},
    {"provider": "libvirt", "controlPlane": machine(memoryMiB=2048), **pools(machine(memoryMiB=1024))},
]

REFUSED: list[Case] = [
    ({"provider": "azure"}, "spec.provider"),
    ({"owner": "Acme"}, "spec.owner"),
    ({"owner": "a" * 41}, "spec.owner"),
    ({"release": "latest"}, "spec.release"),
    ({"controlPlane": {"replicas": 2}}, "spec.controlPlane.replicas"),
    ({"controlPlane": machine(cpus=0)}, "spec.controlPlane.machine.cpus"),
    ({"nodePools": [{**POOL, "replicas": "3"}]}, "spec.nodePools[0].replicas"),
    ({"nodePool": []}, 'unknown field "spec.nodePool"'),
    (pools({"name": "p" * 21}), "spec.nodePools[0].name"),
    (pools({"name": "control-plane"}), "taken by the control plane"),
    (pools({}, {}), "spec.nodePools[1]: Duplicate"),
    (pools(*({"name": f"p{number}"} for number in range(11))), "must have at most 10 items"),
    (pools({"replicas": 3, "max": 2}), "replicas must be between min and max"),
    (pools({"replicas": 100}, {"name": "others", "replicas": 100}), "at most 200 machines"),
    (pools({"labels": {"kubernetes.io/os": "a"}}), "prefixes are reserved"),
    (pools({"labels": {"x.k8s.io/os": "a"}}), "prefixes are reserved"),
    (pools({"labels": {"-": "a"}}), "keys must match"),
    (pools({"labels": {"a": "-"}}), "spec.nodePools[0].labels.a"),
    (pools({"taints": [{"key": "a", "effect": "Never"}]}), "spec.nodePools[0].taints[0].effect"),
    (pools({"taints": [{"key": "a", "effect": "NoExecute"}] * 2}), "spec.nodePools[0].taints[1]: Duplicate"),
    (pools({"labels": {"a..b/x": "y"}}), "has no DNS name before its slash"),
    (pools({"labels": {"giantnetes.io/pool": "a"}}), "giantnetes.io is ours"),
    (pools({"labels": {"x.giantnetes.io/y": "a"}}), "giantnetes.io is ours"),
    (pools({"taints": [{"key": "a.-b/x", "effect": "NoSchedule"}]}), "has no DNS name before its slash"),
    (pools({"taints": [{"key": "x.giantnetes.io/y", "effect": "NoSchedule"}]}), "giantnetes.io is ours"),
    ({"network": {"podCIDR": "10.0.0.0/255.0.0.0"}}, "must be an IPv4 range"),
    ({"network": {"podCIDR": "10.244.0.1/16"}}, "must be an IPv4 range"),
    ({"network": {"podCIDR": "fd00::/64"}}, "must be an IPv4 range"),
    ({"network": {"podCIDR": "all"}}, "must be an IPv4 range"),
    ({"network": {"podCIDR": "127.0.0.0/16"}}, "overlaps 127.0.0.0/8"),
    ({"network": {"podCIDR": "10.96.0.0/15"}}, "podCIDR and serviceCIDR overlap"),
    ({"network": {"serviceCIDR": "10.96.0.0/25"}}, "between /12 and /24"),
    ({"network": {"podCIDR": "10.244.0.0/23"}}, "/22 or wider"),
    ({"network": {"podCIDR": "10.244.0.0/22"}, **pools({"replicas": 5})}, "no room for a /24 for each node"),
    ({"network": {"podCIDR": "16.0.0.0/7"}}, "/8 or longer"),
    ({"network": {"apiPort": 10250}}, "a program's of the machines"),
    ({"network": {"apiPort": 80}}, "spec.network.apiPort"),
    ({"network": {"clusterDomain": "Cluster.Local"}}, "spec.network.clusterDomain"),
    ({"certificates": {"rotationTime": "25:00"}}, "spec.certificates.rotationTime"),
    ({"certificates": {"leafTTLHours": 1}}, "spec.certificates.leafTTLHours"),
    ({"certificates": {"rotationIntervalDays": 16}}, "spec.certificates.rotationIntervalDays"),
    ({"certificates": {"rotationIntervalDays": 4}}, "half of the shortest lifetime"),
    (
        {"certificates": {"rotationIntervalDays": 2, "components": [{"name": "kubelet", "ttlHours": 72}]}},
        "half of the shortest lifetime",
    ),
    ({"certificates": {"components": [{"name": "kubelet", "ttlHours": 2}]}}, "24 hours or more"),
    (
        {"certificates": {"components": [{"name": "kubelet-client", "dnsNames": ["a.example"]}]}},
        "a client's certificate has no names of hosts",
    ),
    (
        {"certificates": {"components": [{"name": "kubelet", "ipAddresses": ["169.254.1.1"]}]}},
        "link-local addresses may be anybody's",
    ),
    ({"certificates": {"components": [{"name": "kubelet"}, {"name": "kubelet"}]}}, "Duplicate value"),
    ({"apiServer": {"oidc": {**OIDC, "issuerURL": "http://a"}}}, "spec.apiServer.oidc.issuerURL"),
    ({"apiServer": {"oidc": {**OIDC, "certificateAuthority": KEY}}}, "spec.apiServer.oidc.certificateAuthority"),
    ({"apiServer": {"oidc": {**OIDC, "usernamePrefix": "sys"}}}, "begin with system:"),
    ({"apiServer": {"oidc": {**OIDC, "groupsPrefix": "giantnetes:a"}}}, "begin with system: or giantnetes:"),
    ({"apiServer": {"featureGates": {"allAlpha": True}}}, "keys must match"),
    ({"ingress": {"version": "3"}}, "spec.ingress.version"),
    (
        {"ingress": {"version": "3.7.15", "config": {"httpNodePort": 30001, "httpsNodePort": 30001}}},
        "httpNodePort and httpsNodePort must differ",
    ),
    ({"provider": "libvirt", "network": {"podCIDR": "10.40.0.0/16"}}, "where virtual machines live"),
    ({"provider": "libvirt", "controlPlane": machine(memoryMiB=1024)}, "needs 2048 at least"),
    ({"provider": "libvirt", **pools(machine(memoryMiB=512))}, "needs 1024 at least"),
]


def applied(kubeconfig: Path, folder: Path, resource: dict[str, Any], *options: str) -> str:
    """Apply a resource; nothing when it is taken, otherwise what kubectl says."""
    file = folder / "resource.json"
    file.write_text(json.dumps(resource))
    done = attempt(kubectl_path(), "--kubeconfig", kubeconfig, "apply", "--filename", file, *options)
    return done.stderr if done.returncode else ""


def cluster(spec: dict[str, Any], name: str = "demo") -> dict[str, Any]:
    return {
        "apiVersion": "giantnetes.io/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {**SPEC, **spec},
    }


def by_python(spec: dict[str, Any]) -> bool:
    """Say whether Python takes a spec for a new cluster."""
    try:
        return not faults(ClusterSpec.model_validate_json(json.dumps({**SPEC, **spec})))
    except ValidationError:
        return False


@pytest.mark.parametrize("spec", ACCEPTED, ids=json.dumps)
def test_what_python_takes_is_taken(kubeconfig: Path, tmp_path: Path, spec: dict[str, Any]) -> None:
    assert by_python(spec)
    assert applied(kubeconfig, tmp_path, cluster(spec), "--dry-run=server") == ""


def test_an_issuer_s_own_authority_is_taken(kubeconfig: Path, tmp_path: Path) -> None:
    spec = {"apiServer": {"oidc": {**OIDC, "certificateAuthority": CertificateAuthority("issuer").pem}}}
    assert by_python(spec)
    assert applied(kubeconfig, tmp_path, cluster(spec), "--dry-run=server") == ""


@pytest.mark.parametrize(("spec", "words"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_what_python_refuses_is_refused_with_its_field(
    kubeconfig: Path, tmp_path: Path, spec: dict[str, Any], words: str
) -> None:
    assert not by_python(spec)
    assert words in applied(kubeconfig, tmp_path, cluster(spec), "--dry-run=server")


@pytest.mark.parametrize("name", ["a" * 41, "1st", "with.dot"])
def test_names_are_those_of_workflows(kubeconfig: Path, tmp_path: Path, name: str) -> None:
    assert "metadata.name" in applied(kubeconfig, tmp_path, cluster({}, name), "--dry-run=server")


def test_all_defaults_are_filled_in(kubeconfig: Path, tmp_path: Path) -> None:
    assert applied(kubeconfig, tmp_path, cluster({"nodePools": [POOL]})) == ""
    stored = json.loads(kubectl(kubeconfig, "get", "cluster", "demo", "--output", "json"))["spec"]
    whole = ClusterSpec.model_validate_json(json.dumps({**SPEC, "nodePools": [POOL]}))
    assert stored == whole.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_what_makes_a_cluster_can_not_be_changed(kubeconfig: Path, tmp_path: Path) -> None:
    assert applied(kubeconfig, tmp_path, cluster({}, "fixed")) == ""
    assert "owner can't be changed" in applied(kubeconfig, tmp_path, cluster({"owner": "other"}, "fixed"))
    network = {"network": {"podCIDR": "10.0.0.0/16"}}
    assert "network can't be changed" in applied(kubeconfig, tmp_path, cluster(network, "fixed"))
    assert applied(kubeconfig, tmp_path, cluster({"controlPlane": {"replicas": 3}}, "fixed")) == ""


def test_a_release_is_published_and_never_changed(kubeconfig: Path, tmp_path: Path) -> None:
    for file in RELEASES.glob("*.yaml"):
        read = yaml.safe_load(file.read_text())
        names = {key: read.pop(key) for key in ("apiVersion", "kind", "name")}
        resource = {
            "apiVersion": names["apiVersion"],
            "kind": names["kind"],
            "metadata": {"name": names["name"]},
            "spec": read,
        }
        assert applied(kubeconfig, tmp_path, resource) == ""
        read["etcd"]["version"] = "9.9.9"
        assert "a release is never changed" in applied(kubeconfig, tmp_path, resource)
    assert "1.37.2" in kubectl(kubeconfig, "get", "grel")


NODE_IMAGE = dict.fromkeys(("root", "kernel", "initrd"), "0" * 64)
SYSTEM = {"url": "https://example.com/system.img.xz", "sha256": "0" * 64}
MACHINE_IMAGES: list[Case] = [
    (NODE_IMAGE, ""),
    ({"system": SYSTEM}, ""),
    ({}, "or a system instead of them"),
    ({**NODE_IMAGE, "system": SYSTEM}, "or a system instead of them"),
    ({"root": "0" * 64, "system": SYSTEM}, "or a system instead of them"),
    ({"root": "0" * 64, "kernel": "0" * 64}, "or a system instead of them"),
    ({"system": {**SYSTEM, "url": "file:///system.img"}}, "spec.machineImages.system.url"),
    ({"system": {**SYSTEM, "sha256": "0" * 63}}, "spec.machineImages.system.sha256"),
    ({"system": {"url": SYSTEM["url"]}}, "spec.machineImages.system.sha256"),
]


@pytest.mark.parametrize(("images", "words"), MACHINE_IMAGES, ids=lambda value: json.dumps(value)[:60])
def test_python_and_the_api_agree_on_what_machines_boot(
    kubeconfig: Path, tmp_path: Path, images: dict[str, Any], words: str
) -> None:
    wanted = {"recipe": "0" * 16, "disk": "0" * 64, **images}
    spec = yaml.safe_load((RELEASES / "1.37.2-1.yaml").read_text())
    spec = {key: value for key, value in spec.items() if key not in {"apiVersion", "kind", "name"}}
    metadata = {"metadata": {"name": "1.37.2-9"}, "spec": {**spec, "machineImages": wanted}}
    told = applied(kubeconfig, tmp_path, {**cluster({}), "kind": "Release", **metadata}, "--dry-run=server")
    assert words in told
    with pytest.raises(ValidationError) if words else nullcontext():
        MachineImages.model_validate_json(json.dumps(wanted))
    if not words:
        assert told == ""


CERTIFICATE: dict[str, Any] = {"clusterName": "demo", "component": "prometheus", "commonName": "prometheus"}

CERTIFICATES: list[Case] = [
    ({}, ""),
    ({"organizations": ["monitoring"], "dnsNames": ["*.a.example"], "ipAddresses": ["10.0.0.1", "fd00::1"]}, ""),
    ({"dnsNames": ["prometheus"], "allowBareDomains": True, "ttlHours": 1, "disableRenewal": True}, ""),
    ({"machine": "workers-1", "commonName": "system:node:workers-1", "organizations": ["system:nodes"]}, ""),
    ({"machine": "workers-1", "dnsNames": ["workers-1"]}, ""),
    ({"machine": "Workers"}, "spec.machine"),
    ({"commonName": "system:admin"}, "names with a colon"),
    ({"commonName": "oidc:jane@example.com"}, "names with a colon"),
    ({"commonName": " a"}, "spec.commonName"),
    ({"commonName": "a" * 65}, "spec.commonName"),
    ({"organizations": ["a", "system:masters"]}, "taken by the cluster itself"),
    ({"organizations": ["giantnetes:cluster-admins"]}, "taken by the cluster itself"),
    ({"dnsNames": ["prometheus"]}, "needs allowBareDomains"),
    ({"dnsNames": ["A.example"]}, "spec.dnsNames[0]"),
    ({"dnsNames": ["a.*.example"]}, "spec.dnsNames[0]"),
    ({"ipAddresses": ["10.0.0.01"]}, "canonical form"),
    ({"ipAddresses": ["fd00:0::1"]}, "canonical form"),
    ({"ipAddresses": ["all"]}, "canonical form"),
    ({"ipAddresses": ["169.254.1.1"]}, "link-local"),
    ({"ipAddresses": ["fe80::1"]}, "link-local"),
    ({"ttlHours": 721}, "spec.ttlHours"),
    ({"component": ""}, "spec.component"),
    ({"secret": "a"}, 'unknown field "spec.secret"'),
]


@pytest.mark.parametrize(("spec", "words"), CERTIFICATES, ids=lambda value: json.dumps(value)[:60])
def test_python_and_the_api_agree_on_certificates(
    kubeconfig: Path, tmp_path: Path, spec: dict[str, Any], words: str
) -> None:
    wanted = {**CERTIFICATE, **spec}
    name = "demo.workers-1.kubelet" if "machine" in spec else "prometheus"
    resource = {**cluster({}, name), "kind": "Certificate", "spec": wanted}
    assert words in applied(kubeconfig, tmp_path, resource, "--dry-run=server")
    with pytest.raises(ValidationError) if words else nullcontext():
        CertificateSpec.model_validate_json(json.dumps(wanted))
    if not words:
        assert applied(kubeconfig, tmp_path, resource, "--dry-run=server") == ""


def test_names_with_dots_are_those_of_components(kubeconfig: Path, tmp_path: Path) -> None:
    resource = {**cluster({}, "demo.workers-1.kubelet"), "kind": "Certificate", "spec": CERTIFICATE}
    assert "take a name without a dot" in applied(kubeconfig, tmp_path, resource, "--dry-run=server")
    shown = {**resource, "spec": {**CERTIFICATE, "machine": "workers-1"}}
    assert applied(kubeconfig, tmp_path, shown, "--dry-run=server") == ""
    posing = {**cluster({}, "kubelet"), "kind": "Certificate", "spec": shown["spec"]}
    assert "no spec.machine" in applied(kubeconfig, tmp_path, posing, "--dry-run=server")


def test_those_of_components_are_read_only(kubeconfig: Path, tmp_path: Path) -> None:
    spec = {**CERTIFICATE, "machine": "workers-1"}
    shown = {**cluster({}, "demo.workers-1.read"), "kind": "Certificate", "spec": spec}
    assert applied(kubeconfig, tmp_path, shown) == ""
    for change in ({"commonName": "a"}, {"ttlHours": 1}, {"dnsNames": ["a.example"]}):
        told = applied(kubeconfig, tmp_path, {**shown, "spec": {**spec, **change}})
        assert "change spec.certificates of their Cluster" in told
    kubectl(kubeconfig, "delete", "certificate", "demo.workers-1.read")


def test_fields_are_explained(kubeconfig: Path) -> None:
    told = kubectl(kubeconfig, "explain", "cluster.spec.nodePools")
    assert "Machines of one kind that run workloads." in told
    assert "-required-" in told
    assert "<no description>" not in told


def test_kubectl_shows_columns(kubeconfig: Path, tmp_path: Path) -> None:
    assert applied(kubeconfig, tmp_path, cluster({}, "shown")) == ""
    head, *_ = kubectl(kubeconfig, "get", "giantnetes", "--output", "wide").splitlines()
    assert re.split(" {2,}", head.strip()) == [
        *("NAME", "AVAILABLE", "RELEASE", "PHASE", "OPERATION", "STEP", "CONTROL PLANE", "NODES"),
        *("CERTIFICATES UNTIL", "AGE"),
    ]
    assert "CERTIFICATES UNTIL" not in kubectl(kubeconfig, "get", "gcl")


@pytest.mark.parametrize(("said", "times"), [("false", 0), ("False", 0), ("true", 1), (None, 1)])
def test_the_bridge_leaves_definitions_alone_if_told_so(
    monkeypatch: pytest.MonkeyPatch, said: str | None, times: int
) -> None:
    name = "GIANTNETES_REGISTER_DEFINITIONS"
    if said is None:
        monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setenv(name, said)
    register = AsyncMock()
    monkeypatch.setattr(bridge, "register", register)
    # The next thing that it does.
    monkeypatch.setattr(bridge, "load_releases", Mock(side_effect=InterruptedError))
    with pytest.raises(InterruptedError):
        asyncio.run(bridge._work(from_environment(), (Mock(), Mock()), Mock(), Mock()))
    assert register.await_count == times
