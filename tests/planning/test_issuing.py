"""When clients' certificates are due and why, and what they may not say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.certificate import CertificateSpec
from contracts.issuing import HeldCertificate
from planning.issuing import due, overlapping, problems, renewal_time, wanted
from tests.activities.vault.support import new_cluster

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLUSTER = new_cluster(
    name="demo",
    certificates={
        "components": [
            {"name": "kube-apiserver", "dnsNames": ["api.example.com"], "ipAddresses": ["203.0.113.10"]}
        ]
    },
)


def spec(**fields: Any) -> CertificateSpec:
    wanted = {"clusterName": "demo", "component": "prometheus", "commonName": "prometheus", **fields}
    return CertificateSpec.model_validate(wanted)


def held(of: CertificateSpec, age: timedelta, **fields: Any) -> HeldCertificate:
    """Return what was issued for a spec so long ago."""
    issued = NOW - age
    known = {
        "serial": "01",
        "not_before": issued - HOUR,
        "not_after": issued + timedelta(hours=of.ttl_hours),
        "authority": "CA\n",
        "wanted": wanted(of),
        "reason": "",
    }
    return HeldCertificate.model_validate({**known, **fields})


@pytest.mark.parametrize(
    ("age", "fields", "has", "reason"),
    [
        (None, {}, {}, "there is none that fits its key"),
        (HOUR, {}, {}, ""),
        (HOUR, {}, {"authority": "another"}, "the cluster has another authority"),
        (HOUR, {}, {"wanted": "another"}, "the spec changed"),
        (24 * HOUR, {}, {}, "its time has come"),
        (23 * HOUR, {}, {}, ""),
        (HOUR, {"ttlHours": 2}, {}, "its time has come"),
        (200 * HOUR, {}, {}, "it has ended"),
        (200 * HOUR, {"disableRenewal": True}, {}, ""),
        (200 * HOUR, {"disableRenewal": True}, {"wanted": "another"}, "the spec changed"),
    ],
)
def test_the_first_reason_of_the_chain_is_given(
    age: timedelta | None, fields: dict[str, Any], has: dict[str, Any], reason: str
) -> None:
    asked = spec(**fields)
    assert due(asked, held(asked, age, **has) if age else None, "CA", NOW) == reason


def test_only_what_it_says_makes_it_another() -> None:
    assert wanted(spec()) == wanted(spec(disableRenewal=True, component="grafana"))
    others = {"commonName": "a"}, {"organizations": ["a"]}, {"dnsNames": ["a.b"]}, {"ipAddresses": ["1.1.1.1"]}
    assert len({wanted(spec(**fields)) for fields in (*others, {"ttlHours": 1}, {})}) == 6


@given(st.integers(1, 720))
def test_a_new_one_is_renewed_within_a_day_and_before_its_end(hours: int) -> None:
    asked = spec(ttlHours=hours)
    end = NOW + timedelta(hours=hours)
    at = renewal_time(asked, end)
    assert at is not None
    assert NOW < at < end
    assert at <= NOW + 24 * HOUR


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, ""),
        ({"dnsNames": ["metrics.example.com"], "ipAddresses": ["10.9.8.7"]}, ""),
        ({"commonName": "kube-apiserver"}, "commonName: kube-apiserver is one of the cluster's own"),
        ({"dnsNames": ["kubernetes.default.svc"]}, "dnsNames: kubernetes.default.svc is the cluster's own"),
        ({"dnsNames": ["control-plane-1"], "allowBareDomains": True}, "dnsNames: control-plane-1 is"),
        ({"dnsNames": ["api.example.com"]}, "dnsNames: api.example.com is the cluster's own"),
        ({"dnsNames": ["*.example.com"]}, "dnsNames: *.example.com is the cluster's own"),
        ({"ipAddresses": ["127.64.1.11"]}, "ipAddresses: 127.64.1.11 is the cluster's own"),
        ({"ipAddresses": ["127.0.0.1"]}, "ipAddresses: 127.0.0.1 is the cluster's own"),
        ({"ipAddresses": [CLUSTER.service_address]}, "is the cluster's own"),
        ({"ipAddresses": ["2001:db8::1"]}, ""),
        ({"ipAddresses": ["203.0.113.10"]}, "ipAddresses: 203.0.113.10 is the cluster's own"),
        ({"organizations": ["monitoring", "admins"]}, "organizations: admins are people"),
        ({"machine": "workers-1"}, "machine: the certificates of workers-1 are shown only"),
        (
            {"machine": "workers-1", "organizations": ["system:masters"]},
            "machine: the certificates of workers-1 are shown only; organizations: system:masters is reserved",
        ),
    ],
)
def test_a_client_may_not_pass_for_its_cluster(fields: dict[str, Any], problem: str) -> None:
    found = "; ".join(problems(spec(**fields), CLUSTER))
    assert problem in found
    assert bool(found) == bool(problem)


@pytest.mark.parametrize(
    ("name", "taken", "overlaps"),
    [
        ("a.b", "a.b", True),
        ("*.b", "a.b", True),
        ("a.b", "*.b", True),
        ("*.b", "c.a.b", False),
        ("*.b", "b", False),
        ("a.b", "a.c", False),
    ],
)
def test_wildcards_match_one_label(name: str, taken: str, overlaps: bool) -> None:
    assert overlapping([name], [taken]) == ([name] if overlaps else [])
