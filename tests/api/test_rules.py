"""What no new cluster may have, by field."""

from typing import Any

import pytest

from api.rules import MACHINE_PORTS, faults
from tests.support.guest import CertificateAuthority
from tests.support.resources import NO_CERTIFICATE, cluster


def pool(**fields: Any) -> dict[str, Any]:
    return {"nodePools": [{"name": "a"}, {"name": "b", **fields}]}


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> dict[str, str]:
    return {"key": key, "value": value, "effect": effect}


def oidc(**fields: str) -> dict[str, Any]:
    return {"apiServer": {"oidc": {"issuerURL": "https://a", "clientID": "b", **fields}}}


FAULTY: list[tuple[dict[str, Any], str, str]] = [
    ({"network": {"podCIDR": "10.244.0.0/255.255.0.0"}}, "spec.network.podCIDR", "write it as 10.244.0.0/16"),
    ({"network": {"serviceCIDR": "10.96.0.0/255.255.0.0"}}, "spec.network.serviceCIDR", "10.96.0.0/16"),
    ({"network": {"serviceCIDR": "10.96.0.0/016"}}, "spec.network.serviceCIDR", "10.96.0.0/16"),
    ({"network": {"serviceCIDR": "10.96.0.0/0.0.255.255"}}, "spec.network.serviceCIDR", "10.96.0.0/16"),
    *(({"network": {"apiPort": port}}, "spec.network.apiPort", holder) for port, holder in MACHINE_PORTS.items()),
    ({"network": {"podCIDR": "10.0.0.0/7", "serviceCIDR": "172.16.0.0/16"}}, "spec.network.podCIDR", "/8 or"),
    ({"network": {"podCIDR": "10.244.0.0/22"}, **pool(replicas=4)}, "spec.network.podCIDR", "4 nodes"),
    (pool(labels={"a..b/x": "y"}), "spec.nodePools.1.labels", "a..b/x has no DNS name"),
    (pool(labels={"giantnetes.io/pool": "a"}), "spec.nodePools.1.labels", "giantnetes.io/pool is reserved"),
    (pool(labels={"x.giantnetes.io/y": "a"}), "spec.nodePools.1.labels", "is reserved"),
    (pool(taints=[taint("a.-b/x")]), "spec.nodePools.1.taints.0.key", "has no DNS name"),
    (pool(taints=[taint("giantnetes.io/x")]), "spec.nodePools.1.taints.0.key", "is reserved"),
    (pool(taints=[taint("a"), taint("b"), taint("a", value="c")]), "spec.nodePools.1.taints.2", "already"),
    *((oidc(groupsPrefix=prefix), "spec.apiServer.oidc.groupsPrefix", "giantnetes:") for prefix in ("g", "gi")),
    (oidc(usernamePrefix="giantnetes:"), "spec.apiServer.oidc.usernamePrefix", "giantnetes:"),
    (oidc(usernamePrefix="giantnetes:cluster-"), "spec.apiServer.oidc.usernamePrefix", "giantnetes:"),
    (oidc(certificateAuthority=NO_CERTIFICATE), "spec.apiServer.oidc.certificateAuthority", "no certificate"),
]


@pytest.mark.parametrize(("spec", "field", "words"), FAULTY, ids=str)
def test_a_fault_is_named_by_its_field(spec: dict[str, Any], field: str, words: str) -> None:
    (found,) = faults(cluster(**spec).spec)
    assert found.startswith(f"{field}: ")
    assert words in found


FINE: list[dict[str, Any]] = [
    {},
    {"network": {"podCIDR": "10.0.0.0/8", "serviceCIDR": "172.16.0.0/16"}},
    {"network": {"podCIDR": "10.244.0.0/22"}, **pool(replicas=3)},
    pool(
        labels={
            "example.com/x": "y",
            "node.kubernetes.io/x": "y",
            "x": "",
            "mygiantnetes.io/x": "",
            f"{'a' * 64}/x": "",
        }
    ),
    pool(taints=[taint("a"), taint("a", "NoExecute"), taint("b")]),
    oidc(usernamePrefix="oidc:", groupsPrefix="sso-"),
]


@pytest.mark.parametrize("spec", FINE, ids=str)
def test_what_is_fine_has_no_fault(spec: dict[str, Any]) -> None:
    assert faults(cluster(**spec).spec) == []


def test_an_issuer_may_have_an_authority_of_its_own_and_another_to_come() -> None:
    pem = CertificateAuthority("old").pem + "\n" + CertificateAuthority("new").pem
    assert faults(cluster(**oidc(certificateAuthority=pem)).spec) == []


def test_every_fault_is_named_at_once() -> None:
    spec = {"network": {"apiPort": 2379, "podCIDR": "10.244.0.0/255.255.0.0"}, **pool(labels={"a..b/c": ""})}
    found = [fault.partition(":")[0] for fault in faults(cluster(**spec).spec)]
    assert found == ["spec.network.podCIDR", "spec.network.apiPort", "spec.nodePools.1.labels"]
