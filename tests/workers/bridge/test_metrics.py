"""What metrics tell of clusters, as their resources are."""

from typing import Any

import pytest

from workers.bridge.kit.kube import Json
from workers.bridge.metrics import cluster_metrics


def cluster(*conditions: tuple[str, str, str, str], **status: Any) -> Json:
    """Return a resource with conditions, each by type, status, reason and message."""
    told = [dict(zip(("type", "status", "reason", "message"), condition, strict=True)) for condition in conditions]
    return {"status": {"conditions": told, **status}}


def samples(resource: Json) -> dict[str, tuple[dict[str, str], float]]:
    """Return labels, without namespace and name, and value of each metric that one cluster has."""
    found = {}
    for metric in cluster_metrics({("team", "demo"): resource}):
        for sample in metric.samples:
            labels = dict(sample.labels)
            assert (labels.pop("cluster_namespace"), labels.pop("cluster_name")) == ("team", "demo")
            found[sample.name.removeprefix("giantnetes_bridge_cluster_")] = (labels, sample.value)
    return found


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("True", {"available": ({}, 1.0), "available_unknown": ({}, 0.0)}),
        ("False", {"available": ({}, 0.0), "available_unknown": ({}, 0.0)}),
        ("Unknown", {"available_unknown": ({}, 1.0)}),
    ],
)
def test_what_is_not_known_is_not_told_to_be_down(status: str, expected: dict[str, Any]) -> None:
    assert samples(cluster(("Available", status, "R", ""))) == expected


def test_of_a_resource_that_nothing_was_reported_of_nothing_is_told() -> None:
    assert samples({}) == {}


@pytest.mark.parametrize(
    ("reason", "message", "fault", "code"),
    [
        ("QuotaExceeded", "owner acme has 50 of 50 clusters", "quota", "QuotaExceeded"),
        ("VolumeLost", "the volume is gone", "operator", "VolumeLost"),
        ("Waiting", "UnknownRelease: there is no 9.9.9-9", "configuration", "UnknownRelease"),
        ("Waiting", "the create was undone: `retry` creates it again", "", ""),
        ("OfALaterVersion", "", "", ""),
    ],
)
def test_a_failure_is_told_with_whose_fault_it_is(reason: str, message: str, fault: str, code: str) -> None:
    found = samples(cluster(("Degraded", "True", reason, message), phase="Failed"))
    assert found == {"phase": ({"phase": "Failed"}, 1.0), "failed": ({"fault": fault, "code": code}, 1.0)}


def test_an_error_of_a_cluster_that_has_not_failed_is_no_failure() -> None:
    found = samples(cluster(("Degraded", "True", "Waiting", "VaultSealed: it is sealed"), phase="Running"))
    assert found == {"phase": ({"phase": "Running"}, 1.0)}


def test_the_end_of_the_first_certificate_is_told_in_seconds() -> None:
    found = samples(cluster(certificatesExpireAt="1970-01-02T00:00:01Z"))
    assert found == {"certificates_expire_timestamp_seconds": ({}, 86401.0)}
