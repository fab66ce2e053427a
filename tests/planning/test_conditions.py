"""When a resource tells that certificates end soon."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.conditions import ConditionType
from api.resource import ClusterResourceStatus, Condition
from api.status import ClusterStatus, Phase
from contracts.reporting import ResourceReference, StatusReport
from planning.reporting import resource_status, tells_the_same
from tests.support.resources import cluster

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
END = datetime(2026, 12, 3, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def report(certificates: dict[str, Any], left: timedelta, **status: Any) -> StatusReport:
    """Return the report of a living cluster whose first certificate ends at ``END``, after so long."""
    return StatusReport(
        resource=ResourceReference(namespace="default", name="demo", uid="u"),
        sequence=7,
        reported_at=END - left,
        spec=cluster(certificates=certificates).spec,
        status=ClusterStatus(
            name="demo",
            namespace="default",
            cluster_id="c1",
            owner="acme",
            provider="simulated",
            release="1.37.2-1",
            phase=Phase.RUNNING,
            generation=1,
            observed_generation=1,
            **status,
        ),
        certificate_expires_at=END,
    )


def told(given: StatusReport, before: ClusterResourceStatus | None = None) -> ClusterResourceStatus:
    return resource_status(given, before or ClusterResourceStatus())


def valid(status: ClusterResourceStatus) -> Condition:
    (found,) = [each for each in status.conditions if each.type == ConditionType.CERTIFICATES_VALID]
    return found


def special(hours: int) -> dict[str, Any]:
    return {"components": [{"name": "kubelet", "ttlHours": hours}, {"name": "etcd-peer"}]}


@pytest.mark.parametrize(
    ("certificates", "hours"),
    [
        ({}, 120),
        ({"leafTTLHours": 720}, 120),
        ({"leafTTLHours": 144}, 100),
        ({"leafTTLHours": 72}, 40),
        ({"leafTTLHours": 48}, 20),
        ({"leafTTLHours": 24}, 0),
        (special(48), 20),
        (special(720), 120),
        ({"leafTTLHours": 48, **special(168)}, 20),
        ({"rotationIntervalDays": 3}, 80),
        ({"leafTTLHours": 336, "rotationIntervalDays": 7}, 120),
        ({"leafTTLHours": 720, "rotationIntervalDays": 15}, 120),
    ],
)
def test_from_when_on_an_end_is_told_of(certificates: dict[str, Any], hours: int) -> None:
    before = valid(told(report(certificates, hours * HOUR + timedelta(seconds=1))))
    assert (before.status, before.reason) == ("True", "Valid")
    after = valid(told(report(certificates, hours * HOUR - timedelta(seconds=1))))
    assert (after.status, after.reason) == ("False", "EndsSoon" if hours else "Expired")


@given(st.integers(24, 720), st.integers(1, 15), st.floats(0, 1))
def test_rotations_in_time_never_show_it(hours: int, days: int, share: float) -> None:
    """A rotation begins after the interval at the latest, when so much is left; a tenth of that is time for it."""
    days = max(min(days, hours // 48), 1)
    certificates = {"leafTTLHours": hours, "rotationIntervalDays": days}
    lifetime, least = hours * HOUR, hours * HOUR - days * DAY
    left = least * 0.9 + (lifetime - least * 0.9) * share
    if left > timedelta(0):
        assert valid(told(report(certificates, left))).reason == "Valid"


def test_it_says_when_and_why_and_names_machines_where_they_are_known() -> None:
    found = valid(told(report({}, 4 * DAY)))
    assert found.message == "the first ends at 2026-12-03T12:00:00Z, and was not renewed"
    named = valid(told(report({}, 4 * DAY, unrenewed={"workers-1": "DiskFull: x"})))
    assert named.reason == "NotRenewed"


def test_it_is_news_when_nothing_but_time_has_passed() -> None:
    first = told(report({}, 6 * DAY))
    later = told(report({}, 5 * DAY + HOUR), first)
    assert tells_the_same(later, first)
    soon = told(report({}, 5 * DAY - HOUR), later)
    assert not tells_the_same(soon, later)
    assert valid(soon).last_transition_time == END - (5 * DAY - HOUR)
    again = told(report({}, 4 * DAY), soon)
    assert tells_the_same(again, soon)
    ended = told(report({}, -HOUR), again)
    assert (valid(ended).status, valid(ended).reason) == ("False", "Expired")
    assert valid(ended).last_transition_time == valid(soon).last_transition_time
