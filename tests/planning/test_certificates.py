"""Which certificates are due, why and when; and the plan that renews them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cluster import SHOWN, MachineCertificate
from contracts.certificates import CERTIFICATES, Usage, wanted
from contracts.context import ClusterContext
from contracts.vault import Authority, Issued
from planning.certificates import DAY, SPREAD, Known, certificates, due, plan_rotation, rotation_time
from tests.support.resources import cluster

Given = dict[str, dict[str, Issued]]

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
"""Nine hours after the time of day at which certificates are renewed."""

times = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC))
ids = st.from_regex(r"c[0-9a-f]{11}", fullmatch=True)
times_of_day = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))


def context(**spec: Any) -> ClusterContext:
    return ClusterContext(
        cluster_id="c0123456789a",
        namespace="default",
        name="demo",
        spec=cluster(**spec).spec,
        machine_network="127.64.1.0/24",
    )


def issued(context: ClusterContext, at: datetime) -> Given:
    """Return every certificate of a cluster as it would be had it been issued at ``at``."""
    known: Given = {}
    for held in certificates(Known(context, {})):
        known.setdefault(held.machine.name, {})[held.kind.name] = Issued(
            serial="01:02",
            issued_at=at,
            expires_at=at + timedelta(hours=context.spec.certificates.leaf_ttl_hours),
            credential="a" * 64,
            wanted=wanted(held.kind, context, held.machine),
            authority_key="a" * 40,
        )
    return known


@given(times, ids, times_of_day)
def test_each_cluster_has_its_own_moment_once_a_day(now: datetime, cluster_id: str, at: str) -> None:
    spec = cluster(certificates={"rotationTime": at}).spec
    first = rotation_time(spec, cluster_id, now)
    assert now < first <= now + DAY
    assert rotation_time(spec, cluster_id, first) == first + DAY
    start = datetime.combine(first, datetime.strptime(at, "%H:%M").time(), UTC)
    assert min(abs(first - start), abs(first - start + DAY)) < SPREAD


@given(times, ids, times_of_day, st.integers(1, 15))
def test_a_rotation_is_followed_by_the_next_after_so_many_days(
    issued_at: datetime, cluster_id: str, at: str, days: int
) -> None:
    certificates = {"rotationTime": at, "leafTTLHours": 720, "rotationIntervalDays": days}
    spec, daily = cluster(certificates=certificates).spec, cluster(certificates={"rotationTime": at}).spec
    first = rotation_time(spec, cluster_id, issued_at)
    assert (days - 1) * DAY < first - issued_at <= days * DAY
    assert first == rotation_time(daily, cluster_id, issued_at) + (days - 1) * DAY
    # Those that it issues are due so many days later, whether that was done at once or took half a day.
    for took in (timedelta(0), timedelta(seconds=1), DAY / 2):
        assert rotation_time(spec, cluster_id, first + took) == first + days * DAY


def test_the_fleet_is_spread_over_an_hour() -> None:
    spec = cluster().spec
    minutes = {rotation_time(spec, f"c{number:011x}", NOW).minute for number in range(1000)}
    assert len(minutes) == 60


def test_what_was_issued_since_the_last_time_is_not_due() -> None:
    found = context()
    assert due(Known(found, issued(found, NOW - timedelta(hours=1))), NOW) == []


# At 12:00; rotations are at 03:00 or up to an hour later.
@pytest.mark.parametrize(
    ("days", "hours_ago", "is_due"),
    [
        (1, 8, False),
        (1, 9.5, True),
        (2, 9.5, False),
        (2, 24 + 8, False),
        (2, 24 + 9.5, True),
        (3, 24 + 9.5, False),
        (3, 2 * 24 + 8, False),
        (3, 2 * 24 + 9.5, True),
    ],
)
def test_certificates_are_due_every_so_many_days(days: int, hours_ago: float, *, is_due: bool) -> None:
    found = context(certificates={"rotationIntervalDays": days, "rotationTime": "03:00"})
    at = NOW - timedelta(hours=hours_ago)
    reasons = {item.reason for item in due(Known(found, issued(found, at)), NOW)}
    assert reasons == ({"its day is over"} if is_due else set())


def test_another_interval_makes_nothing_due_but_what_is_overdue_by_it() -> None:
    every_third, every_second = (context(certificates={"rotationIntervalDays": days}) for days in (3, 2))
    fresh, older = (issued(every_third, NOW - timedelta(hours=hours)) for hours in (8, 24 + 10))
    assert plan_rotation(Known(every_third, older), NOW).steps == []
    assert plan_rotation(Known(every_second, fresh), NOW).steps == []
    assert {item.reason for item in due(Known(every_second, older), NOW)} == {"its day is over"}


def test_a_machine_that_was_renewed_at_another_time_is_due_by_its_own() -> None:
    found = context(certificates={"rotationIntervalDays": 3})
    known, older = issued(found, NOW), issued(found, NOW - DAY)
    own = known | {"workers-1": older["workers-1"]}
    plan = plan_rotation(Known(found, own), NOW)
    assert plan.steps == []
    assert plan.rotate_at == rotation_time(found.spec, found.cluster_id, NOW - DAY)
    then = plan_rotation(Known(found, own), plan.rotate_at)
    assert set(then.renewals) == {"workers-1"}
    assert then.rotate_at == rotation_time(found.spec, found.cluster_id, NOW)


@given(days=st.integers(1, 15), ages=st.lists(st.floats(0, 29), min_size=1, max_size=5), asked=st.booleans())
def test_the_next_rotation_is_the_first_moment_at_which_something_is_due(
    *, days: int, ages: list[float], asked: bool
) -> None:
    found = context(
        certificates={"rotationIntervalDays": days, "leafTTLHours": 720},
        nodePools=[{"name": "workers", "replicas": len(ages)}],
    )
    known = issued(found, NOW)
    for number, age in enumerate(ages, 1):
        known[f"workers-{number}"] = issued(found, NOW - age * DAY)[f"workers-{number}"]
    plan = plan_rotation(Known(found, known), NOW, asked=asked)
    assert plan.rotate_at is not None
    renewed = known | {name: issued(found, NOW)[name] for name in plan.renewals}
    assert NOW < plan.rotate_at <= NOW + days * DAY
    assert due(Known(found, renewed), plan.rotate_at - timedelta(microseconds=1)) == []
    assert due(Known(found, renewed), plan.rotate_at) != []


Change = Callable[[ClusterContext, Given], Given]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda of, _: issued(of, NOW - DAY), "its day is over"),
        (lambda of, _: issued(of, NOW - timedelta(days=14)), "it has ended"),
        (lambda _, __: {}, "nothing is known of it"),
        (
            lambda _, __: issued(context(network={"apiPort": 7443, "clusterDomain": "other.local"}), NOW),
            "the spec changed",
        ),
    ],
)
def test_why_a_certificate_is_due(change: Change, reason: str) -> None:
    found = context()
    reasons = {item.certificate: item.reason for item in due(Known(found, change(found, {})), NOW)}
    assert reasons["kube-apiserver"] == reason


def test_another_lifetime_makes_all_due() -> None:
    before, after = context(), context(certificates={"leafTTLHours": 48})
    found = due(Known(after, issued(before, NOW)), NOW)
    assert {item.reason for item in found} == {"the spec changed"}
    assert len(found) == len(list(certificates(Known(after, {}))))


def test_other_names_make_only_their_certificates_due() -> None:
    before, after = context(), context(network={"clusterDomain": "other.local"})
    assert {item.certificate for item in due(Known(after, issued(before, NOW)), NOW)} == {"kube-apiserver"}


def test_what_is_special_about_one_makes_that_one_due() -> None:
    special = {"name": "kube-apiserver", "dnsNames": ["api.example.com"]}
    before, after = context(), context(certificates={"components": [special]})
    assert {item.certificate for item in due(Known(after, issued(before, NOW)), NOW)} == {"kube-apiserver"}


def test_every_certificate_of_a_machine_can_be_special() -> None:
    kinds = {name: kind for name, kind in CERTIFICATES.items() if kind.holder}
    assert set(get_args(MachineCertificate)) == set(kinds)
    assert set(SHOWN) == {name for name, kind in kinds.items() if Usage.SERVER in kind.usage}


def test_another_key_of_a_ca_makes_what_the_one_before_signed_due() -> None:
    found = context(controlPlane={"replicas": 1}, nodePools=[{"name": "workers", "replicas": 1}])
    known = issued(found, NOW - timedelta(minutes=2))
    later = {"issued_at": NOW - timedelta(minutes=1), "authority_key": "b" * 40}
    renewed = {name: each.model_copy(update=later) for name, each in known["workers-1"].items()}
    left = due(Known(found, known | {"workers-1": renewed}), NOW)
    assert {(item.machine, item.reason) for item in left} == {("control-plane-1", "the CA changed")}
    kinds = {name for name, kind in CERTIFICATES.items() if kind.authority is Authority.KUBERNETES}
    assert {item.certificate for item in left} == kinds & known["control-plane-1"].keys()


def test_where_nobody_noted_the_key_no_ca_has_changed() -> None:
    found = context()
    known = issued(found, NOW - timedelta(minutes=2))
    unnoted = {
        name: each.model_copy(update={"issued_at": NOW, "authority_key": ""})
        for name, each in known["workers-1"].items()
    }
    assert due(Known(found, known | {"workers-1": unnoted}), NOW) == []


def test_who_asks_gets_all() -> None:
    found = context()
    asked = due(Known(found, issued(found, NOW)), NOW, asked=True)
    assert {item.reason for item in asked} == {"somebody asked for it"}
    assert len(asked) == len(list(certificates(Known(found, {}))))


def test_a_machine_that_was_left_out_is_due_whenever_it_was_renewed() -> None:
    found = context()
    left_out = due(Known(found, issued(found, NOW), ["workers-1"]), NOW)
    assert {item.reason for item in left_out} == {"it could not be renewed before"}
    assert {item.machine for item in left_out} == {"workers-1"}


def test_a_machine_that_was_added_is_due_alone() -> None:
    found = context()
    known = issued(found, NOW)
    machine, _ = known.popitem()
    assert {item.machine for item in due(Known(found, known), NOW)} == {machine}


def test_nothing_is_planned_while_nothing_is_due() -> None:
    found = context()
    plan = plan_rotation(Known(found, issued(found, NOW)), NOW)
    assert (plan.steps, plan.renewals) == ([], {})
    assert plan.rotate_at == rotation_time(found.spec, found.cluster_id, NOW)


def test_control_plane_machines_follow_each_other_and_nodes_go_beside_them() -> None:
    found = context(controlPlane={"replicas": 3}, nodePools=[{"name": "workers", "replicas": 3}])
    plan = plan_rotation(Known(found, {}), NOW)
    needs = {step.name: step.needs for step in plan.steps}
    assert needs == {
        "authorities": [],
        "renew-control-plane-1": ["authorities"],
        "renew-control-plane-2": ["renew-control-plane-1"],
        "renew-control-plane-3": ["renew-control-plane-2"],
        "renew-pool-workers": ["authorities"],
    }
    renewed = [machine.name for step in plan.steps for machine in plan.groups.get(step.group, [])]
    assert sorted(renewed) == sorted(plan.renewals)


def test_only_machines_with_something_due_are_spoken_to() -> None:
    found = context(controlPlane={"replicas": 3}, nodePools=[{"name": "workers", "replicas": 1}])
    known = issued(found, NOW)
    del known["control-plane-2"]
    plan = plan_rotation(Known(found, known), NOW)
    assert [step.name for step in plan.steps] == ["authorities", "renew-control-plane-2"]
    assert set(plan.renewals) == {"control-plane-2"}


def test_hypervisors_are_looked_up_first() -> None:
    plan = plan_rotation(Known(context(provider="libvirt"), {}), NOW)
    assert [step.name for step in plan.steps][:2] == ["locate", "authorities"]
    assert plan.steps[1].needs == ["locate"]
    # Control plane machines of libvirt are nodes too.
    assert {"kubelet", "kubelet-client"} <= set(plan.renewals["control-plane-1"])


@given(st.sampled_from(["local", "libvirt"]), st.sampled_from([1, 3]), st.integers(0, 5))
def test_a_plan_renews_what_is_due_once_each(provider: str, slots: int, nodes: int) -> None:
    found = context(
        provider=provider,
        controlPlane={"replicas": slots},
        nodePools=[{"name": "control-plane-1", "replicas": nodes}],
    )
    plan = plan_rotation(Known(found, {}), NOW)
    assert len({step.name for step in plan.steps}) == len(plan.steps)
    reached = [machine.name for step in plan.steps for machine in plan.groups.get(step.group, [])]
    assert sorted(reached) == sorted(plan.renewals)
