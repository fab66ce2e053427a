"""What a user may write, and that every faulty field is named."""

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.changes import changed, unsupported_changes
from api.cluster import MAX_MACHINES, Cluster, ClusterSpec
from contracts.converter import describe
from tests.support.resources import cluster, cluster_document


def faults(document: dict[str, Any]) -> list[str]:
    """Return the lines that a user gets to read."""
    with pytest.raises(ValidationError) as error:
        Cluster.model_validate_json(json.dumps(document))
    return describe(error.value)


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"provider": "mainframe"}, "spec.provider", "'local', 'libvirt' or 'simulated'"),
        ({"controlPlane": {"replicas": 2}}, "spec.controlPlane.replicas", "1 or 3"),
        ({"nodePools": [{"name": "a", "replicas": -1}]}, "spec.nodePools.0.replicas", "greater than"),
        ({"nodePools": [{"name": "a", "replicas": "3"}]}, "spec.nodePools.0.replicas", "valid integer"),
        (
            {"nodePools": [{"name": "a", "replicas": 1, "max": 0}]},
            "spec.nodePools.0",
            "outside of min 0 and max 0",
        ),
        ({"nodePools": [{"name": "a"}, {"name": "a"}]}, "spec", "used more than once"),
        ({"nodePools": [{"name": "control-plane"}]}, "spec", "taken by the control plane"),
        ({"nodePools": [{"name": "a", "labels": {"kubernetes.io/x": "y"}}]}, "spec.nodePools.0", "reserved"),
        ({"nodePools": [{"name": n, "replicas": 100} for n in ("a", "b")]}, "spec", f"at most {MAX_MACHINES}"),
        ({"network": {"podCIDR": "10.96.0.0/12"}}, "spec.network", "overlap"),
        ({"network": {"podCIDR": "127.64.0.0/16"}}, "spec.network.podCIDR", "loopback"),
        ({"network": {"podCIDR": "10.244.0.1/16"}}, "spec.network.podCIDR", "host bits"),
        ({"network": {"serviceCIDR": "10.96.0.0/28"}}, "spec.network", "between /12 and /24"),
        ({"network": {"apiPort": 80}}, "spec.network.apiPort", "greater than"),
        ({"certificates": {"rotationTime": "25:00"}}, "spec.certificates.rotationTime", "match pattern"),
        ({"certificates": {"rotationIntervalDays": 0}}, "spec.certificates.rotationIntervalDays", "greater than"),
        ({"certificates": {"rotationIntervalDays": 4}}, "spec.certificates", "half of the shortest lifetime"),
        (
            {
                "certificates": {
                    "rotationIntervalDays": 2,
                    "components": [{"name": "kubelet", "ttlHours": 72}],
                }
            },
            "spec.certificates",
            "half of the shortest lifetime",
        ),
        (
            {"certificates": {"components": [{"name": "kubelet-client", "dnsNames": ["a.example"]}]}},
            "spec.certificates.components.0",
            "no names of hosts",
        ),
        (
            {"certificates": {"components": [{"name": "kube-apiserver", "dnsNames": ["*.example"]}]}},
            "spec.certificates.components.0.dnsNames.0",
            "match pattern",
        ),
        (
            {"certificates": {"components": [{"name": "kube-apiserver", "ipAddresses": ["169.254.1.1"]}]}},
            "spec.certificates.components.0.ipAddresses.0",
            "link-local",
        ),
        (
            {"certificates": {"components": [{"name": "kubelet", "ttlHours": 2}]}},
            "spec.certificates.components.0",
            "24 or more",
        ),
        (
            {"certificates": {"components": [{"name": "kubelet"}, {"name": "kubelet"}]}},
            "spec.certificates",
            "kubelet is there more than once",
        ),
        ({"certificates": {"components": [{"name": "admin"}]}}, "spec.certificates.components.0.name", "Input"),
        ({"ingress": {"version": "latest"}}, "spec.ingress.version", "match pattern"),
        ({"surprise": 1}, "spec.surprise", "not permitted"),
        (
            {"apiServer": {"oidc": {"issuerURL": "https://a", "clientID": "b", "groupsPrefix": "system:"}}},
            "spec.apiServer.oidc",
            "system:",
        ),
        (
            {"apiServer": {"oidc": {"issuerURL": "http://a", "clientID": "b"}}},
            "spec.apiServer.oidc.issuerURL",
            "match",
        ),
    ],
)
def test_a_faulty_field_is_named(spec: dict[str, Any], field: str, words: str) -> None:
    lines = faults(cluster_document(**spec))
    assert any(line.startswith(f"{field}: ") and words in line for line in lines), lines


def test_every_faulty_field_is_named_at_once() -> None:
    document = cluster_document(provider="x", controlPlane={"replicas": 2}, network={"apiPort": "x"})
    document["metadata"]["name"] = "Too_Long" * 10
    assert len(faults(document)) == 4


def test_what_was_written_is_never_repeated() -> None:
    assert "hunter2" not in "".join(faults(cluster_document(owner="HUNTER hunter2")))


def test_defaults_are_no_change_where_nothing_else_was_set() -> None:
    explicit = cluster(network={"apiPort": 6443}, certificates={"rotationTime": "03:00"})
    assert unsupported_changes(cluster().spec, explicit.spec) == []


RICH = {
    "controlPlane": {"replicas": 3, "machine": {"cpus": 8}},
    "nodePools": [{"name": "workers", "replicas": 2, "labels": {"a": "b"}, "machine": {"memoryMiB": 8192}}],
    "network": {"podCIDR": "10.10.0.0/16", "apiPort": 7443},
    "apiServer": {"featureGates": {"Alpha": True}, "oidc": {"issuerURL": "https://a", "clientID": "b"}},
}


@pytest.mark.parametrize(
    ("applied", "refused"),
    [
        ({}, []),
        ({"nodePools": [{"name": "workers"}]}, []),
        ({"controlPlane": {"machine": {"memoryMiB": 4096}}, "apiServer": {"audit": {}}}, []),
        ({"network": {"serviceCIDR": "10.96.0.0/16"}}, []),
        ({"network": {"apiPort": 6443}}, ["spec.network.apiPort"]),
        ({"certificates": {"leafTTLHours": 48, "rotationTime": "04:30"}}, []),
        ({"certificates": {"leafTTLHours": 720, "rotationIntervalDays": 15}}, []),
        ({"controlPlane": {"replicas": 1}}, ["spec.controlPlane.replicas"]),
        (
            {"apiServer": {"oidc": None, "featureGates": {}}},
            ["spec.apiServer.featureGates.Alpha", "spec.apiServer.oidc"],
        ),
        ({"nodePools": [{"name": "workers", "labels": {}}]}, ["spec.nodePools[0].labels.a"]),
        ({"nodePools": []}, ["spec.nodePools"]),
        ({"ingress": {"version": "3.7.15"}}, ["spec.ingress"]),
    ],
)
def test_what_an_apply_leaves_out_is_no_change(applied: dict[str, Any], refused: list[str]) -> None:
    document = cluster_document(**applied)["spec"]
    if "nodePools" not in applied:
        del document["nodePools"]
    wanted = ClusterSpec.model_validate_json(json.dumps(document))
    rich: dict[str, Any] = RICH
    assert unsupported_changes(cluster(**rich).spec, wanted) == refused


def test_a_change_takes_what_is_set_and_can_be_changed() -> None:
    old = cluster(certificates={"leafTTLHours": 48, "rotationTime": "04:30"}).spec
    new = ClusterSpec.model_validate(cluster_document(certificates={"leafTTLHours": 72}, owner="other")["spec"])
    found = changed(old, new)
    assert (found.certificates.leaf_ttl_hours, found.certificates.rotation_time) == (72, "04:30")
    assert found.owner == old.owner
    assert changed(old, cluster().spec) == old


@pytest.mark.parametrize(
    "certificates",
    [
        {"leafTTLHours": 24},
        {"rotationIntervalDays": 3},
        {"rotationIntervalDays": 2, "components": [{"name": "kubelet", "ttlHours": 96}, {"name": "etcd-peer"}]},
        {"leafTTLHours": 720, "rotationIntervalDays": 15},
    ],
)
def test_an_interval_leaves_half_of_the_shortest_lifetime_or_is_a_day(certificates: dict[str, Any]) -> None:
    assert not cluster(certificates=certificates).spec.certificates.too_seldom


def test_what_a_change_leaves_as_it_is_can_make_an_interval_too_long() -> None:
    old = cluster(certificates={"leafTTLHours": 48}).spec
    every_third_day = cluster(certificates={"rotationIntervalDays": 3}).spec
    assert changed(old, every_third_day).certificates.too_seldom
    longer = cluster(certificates={"rotationIntervalDays": 3, "leafTTLHours": 168}).spec
    assert not changed(old, longer).certificates.too_seldom


@given(
    replicas=st.integers(0, 50), port=st.integers(1024, 32767), owner=st.from_regex(r"[a-z]{1,10}", fullmatch=True)
)
def test_changes_name_exactly_what_differs(replicas: int, port: int, owner: str) -> None:
    old = cluster().spec
    pools = [{"name": "workers", "replicas": replicas}]
    new = cluster(nodePools=pools, network={"apiPort": port}, owner=owner).spec
    expected = {
        "spec.nodePools[0].replicas": replicas != 2,
        "spec.network.apiPort": port != 6443,
        "spec.owner": owner != "acme",
    }
    assert unsupported_changes(old, new) == sorted(path for path, differs in expected.items() if differs)


@given(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 22)),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(12, 24)),
)
def test_no_accepted_ranges_overlap(pods: tuple[int, int], services: tuple[int, int]) -> None:
    ranges = [str(ip_network(network, strict=False)) for network in (pods, services)]
    try:
        spec = cluster(network={"podCIDR": ranges[0], "serviceCIDR": ranges[1]}).spec
    except ValidationError:
        return
    first, second = ip_network(spec.network.pod_cidr), ip_network(spec.network.service_cidr)
    assert not first.overlaps(second)
    assert not any(network.overlaps(ip_network("127.0.0.0/8")) for network in (first, second))


def test_the_schema_describes_itself() -> None:
    properties = ClusterSpec.model_json_schema()["properties"]
    assert {"provider", "owner", "release", "nodePools", "network"} <= properties.keys()
