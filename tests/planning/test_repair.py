"""Which machine is repaired when, by table and by property."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.machines import MachineObservation, MachineState, machine_names
from contracts.repair import RepairDecision, RepairRequest, Unwell
from planning.repair import GRACE, LONGEST_WAIT, REMEMBERED, SLOW, decide_repair
from tests.support.resources import cluster

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SPEC = cluster(nodePools=[{"name": "workers", "replicas": 2}]).spec
NODE = "workers-1"
SECOND = timedelta(seconds=1)


def seen(name: str, state: MachineState, **services: str) -> MachineObservation:
    return MachineObservation(name=name, state=state, services=services)


def decide(
    state: MachineState, entry: Unwell | None = None, *, at_once: bool = False, **services: str
) -> RepairDecision:
    """Decide on a cluster of which one node is in a state."""
    others = [seen(name, MachineState.UP, kubelet="running") for name in machine_names(SPEC) if name != NODE]
    observed = [*others, seen(NODE, state, **services)]
    request = RepairRequest(
        now=NOW, spec=SPEC, observed=observed, unwell=[entry] if entry else [], at_once=at_once
    )
    return decide_repair(request)


def ill(since: timedelta, tries: int = 0, tried: timedelta | None = None) -> Unwell:
    """Return what is remembered of the node: since when it is ill, and when it was repaired, before now."""
    return Unwell(name=NODE, since=NOW - since, tries=tries, tried_at=NOW - tried if tried else None)


def chosen(decision: RepairDecision) -> str:
    return decision.plan.reason.split(":")[0] if decision.plan else ""


def test_all_is_well() -> None:
    assert decide(MachineState.UP, kubelet="running") == RepairDecision()


def test_what_is_seen_ill_for_the_first_time_is_remembered_and_told() -> None:
    decision = decide(MachineState.STOPPED)
    assert decision.unwell == [Unwell(name=NODE, since=NOW)]
    assert decision.plan is None
    assert decision.message == "machine workers-1 is stopped since 12:00:00 UTC"


RESTART, REPLACE, NOTHING = "restart workers-1", "replace workers-1", ""


@pytest.mark.parametrize(
    ("state", "entry", "expected"),
    [
        (MachineState.STOPPED, ill(GRACE), RESTART),
        (MachineState.STOPPED, ill(GRACE - SECOND), NOTHING),
        (MachineState.FAILED, ill(GRACE), RESTART),
        (MachineState.ABSENT, ill(GRACE), REPLACE),
        (MachineState.BOOTING, ill(SLOW - SECOND), NOTHING),
        (MachineState.BOOTING, ill(SLOW), RESTART),
        (MachineState.STOPPED, ill(GRACE, tries=1, tried=timedelta(minutes=2)), REPLACE),
        (MachineState.STOPPED, ill(GRACE, tries=1, tried=timedelta(minutes=2) - SECOND), NOTHING),
        (MachineState.STOPPED, ill(GRACE, tries=3, tried=timedelta(minutes=8) - SECOND), NOTHING),
        (MachineState.STOPPED, ill(GRACE, tries=3, tried=timedelta(minutes=8)), REPLACE),
        (MachineState.STOPPED, ill(GRACE, tries=99, tried=LONGEST_WAIT), REPLACE),
    ],
)
def test_what_is_done(state: MachineState, entry: Unwell, expected: str) -> None:
    decision = decide(state, entry)
    assert chosen(decision) == expected
    if expected:
        assert decision.unwell == [entry.model_copy(update={"tries": entry.tries + 1, "tried_at": NOW})]


def test_somebody_who_asks_is_not_kept_waiting() -> None:
    assert chosen(decide(MachineState.STOPPED, at_once=True)) == RESTART
    entry = ill(SECOND, tries=5, tried=SECOND)
    assert chosen(decide(MachineState.STOPPED, entry, at_once=True)) == REPLACE
    assert chosen(decide(MachineState.UP, entry, at_once=True, kubelet="running")) == NOTHING


def test_what_may_be_starting_is_looked_at_twice() -> None:
    assert chosen(decide(MachineState.FAILED, at_once=True)) == NOTHING
    assert chosen(decide(MachineState.FAILED, ill(SECOND), at_once=True)) == RESTART


@pytest.mark.parametrize(
    ("state", "expected"),
    [(MachineState.FAILED, "restart control-plane-1"), (MachineState.ABSENT, "replace control-plane-1")],
)
def test_what_all_machines_have_is_not_mended_by_new_ones(state: MachineState, expected: str) -> None:
    observed = [seen(name, state) for name in machine_names(SPEC)]
    known = [ill(GRACE, tries=1, tried=LONGEST_WAIT).model_copy(update={"name": item.name}) for item in observed]
    request = RepairRequest(now=NOW, spec=SPEC, observed=observed, unwell=known)
    assert chosen(decide_repair(request)) == expected


def test_a_look_alone_repairs_nothing_and_counts_no_try() -> None:
    entry = ill(GRACE)
    request = RepairRequest(
        now=NOW,
        spec=SPEC,
        observed=[seen(NODE, MachineState.STOPPED)],
        unwell=[entry],
        at_once=True,
        only_look=True,
    )
    decision = decide_repair(request)
    assert (decision.plan, decision.unwell) == (None, [entry])
    assert decision.message


def test_a_service_that_was_stopped_is_waited_for() -> None:
    decision = decide(MachineState.UP, ill(SLOW - SECOND), kubelet="stopped")
    assert chosen(decision) == NOTHING
    assert "workers-1 is up (kubelet not running)" in decision.message
    assert chosen(decide(MachineState.UP, ill(SLOW), kubelet="stopped")) == RESTART


def test_a_repair_is_remembered_for_a_while() -> None:
    entry = ill(timedelta(hours=2), tries=1, tried=REMEMBERED)
    assert decide(MachineState.UP, entry, kubelet="running").unwell == [entry.model_copy(update={"since": None})]
    older = ill(timedelta(hours=2), tries=1, tried=REMEMBERED + SECOND)
    assert decide(MachineState.UP, older, kubelet="running") == RepairDecision()


def test_the_control_plane_comes_first() -> None:
    observed = [seen(name, MachineState.STOPPED) for name in machine_names(SPEC)]
    request = RepairRequest(now=NOW, spec=SPEC, observed=observed, at_once=True)
    assert chosen(decide_repair(request)) == "restart control-plane-1"


states = st.builds(
    lambda state, service: (state, {"kubelet": service}),
    st.sampled_from(MachineState),
    st.sampled_from(["running", "stopped", "failed"]),
)


@given(st.lists(st.lists(states, min_size=3, max_size=3), min_size=1, max_size=30), st.integers(1, 600))
def test_over_time_repairs_get_rarer_and_come_one_at_a_time(
    looks: list[list[tuple[MachineState, dict[str, str]]]], step: int
) -> None:
    unwell: list[Unwell] = []
    tried: dict[str, datetime] = {}
    for index, look in enumerate(looks):
        now = NOW + index * timedelta(seconds=step)
        observed = [
            seen(name, state, **services)
            for name, (state, services) in zip(machine_names(SPEC), look, strict=True)
        ]
        decision = decide_repair(RepairRequest(now=now, spec=SPEC, observed=observed, unwell=unwell))
        assert bool(decision.message) == any(not item.well for item in observed)
        repaired = {entry.name for entry in decision.unwell if entry.tried_at == now}
        assert len(repaired) == bool(decision.plan)
        assert all(now - tried.get(name, NOW - LONGEST_WAIT) >= timedelta(minutes=2) for name in repaired)
        tried |= dict.fromkeys(repaired, now)
        unwell = decision.unwell
