"""The plans that replace and restart one machine."""

import pytest

from api.cluster import ClusterSpec
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.machines import machine_names
from contracts.plan import Plan
from planning.create import machine_groups
from planning.replace import MACHINE, plan_replace, plan_restart
from tests.support.resources import cluster


def spec(provider: str = "local") -> ClusterSpec:
    pools = [{"name": "workers", "replicas": 2}, {"name": "batch"}]
    return cluster(provider=provider, nodePools=pools).spec


def steps(plan: Plan) -> list[str]:
    return [step.name for step in plan.steps]


@pytest.mark.parametrize(
    ("provider", "name", "expected"),
    [
        ("local", "workers-1", "drain authorities remove boot start join uncordon"),
        ("local", "control-plane-1", "authorities remove boot start api"),
        (
            "libvirt",
            "control-plane-1",
            "locate room drain authorities remove place network boot start api join uncordon",
        ),
    ],
)
def test_a_replacement_moves_pods_removes_and_makes_anew(provider: str, name: str, expected: str) -> None:
    plan = plan_replace(spec(provider), name)
    assert plan.operation == "ReplaceMachine"
    assert steps(plan) == expected.split()
    assert [machine.name for machine in plan.groups[MACHINE]] == [name]


@pytest.mark.parametrize("make", [plan_replace, plan_restart])
@pytest.mark.parametrize("name", ["workers-2", "control-plane-1"])
def test_each_step_waits_for_the_one_before(make: type, name: str) -> None:
    """A new machine may never be made while the old one is not known to be gone."""
    plan = make(spec("libvirt"), name)
    assert [step.needs for step in plan.steps] == [[], *([before] for before in steps(plan)[:-1])]
    assert all(step.max_attempts for step in plan.steps), "else nothing else could ever be repaired"


def test_what_is_broken_moves_no_pods() -> None:
    plan = plan_replace(spec(), "workers-1", "RepairMachine")
    assert (plan.operation, steps(plan)[1]) == ("RepairMachine", "remove")


def test_a_restart_keeps_the_machine_and_gives_up_soon() -> None:
    plan = plan_restart(spec(), "workers-1")
    assert steps(plan) == ["fence", "boot", "start", "join", "uncordon"]
    assert all(step.max_attempts for step in plan.steps[1:])


def test_a_slot_is_only_filled_on_its_own_data() -> None:
    (slot,) = plan_replace(spec(), "control-plane-1").groups[MACHINE]
    (node,) = plan_replace(spec(), "workers-1").groups[MACHINE]
    assert (slot.has_data, node.has_data) == (True, False)


def test_a_machine_that_is_not_there_is_refused() -> None:
    with pytest.raises(StepError, match="there is no workers-9; there are: control-plane-1, workers-1") as raised:
        plan_replace(spec(), "workers-9")
    assert raised.value.code is ErrorCode.INVALID_SPEC


def test_names_are_those_of_the_plan() -> None:
    groups = machine_groups(spec())
    assert machine_names(spec()) == [machine.name for group in groups.values() for machine in group]
