"""The plan of a create, by table and by property."""

from hypothesis import given
from hypothesis import strategies as st

from api.cluster import ClusterSpec
from contracts.plan import Plan, StepKind
from planning.create import plan_create
from planning.delete import plan_delete
from tests.support.resources import cluster

pools = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 20)), max_size=8, unique_by=lambda pool: pool[0]
)
specs = st.builds(
    lambda provider, slots, found: (
        cluster(
            provider=provider,
            controlPlane={"replicas": slots},
            nodePools=[{"name": name, "replicas": count} for name, count in found],
        ).spec
    ),
    st.sampled_from(["local", "libvirt"]),
    st.sampled_from([1, 3]),
    pools,
)


@given(specs)
def test_every_machine_has_a_name_and_an_address_of_its_own(spec: ClusterSpec) -> None:
    machines = [machine for group in plan_create(spec).groups.values() for machine in group]
    assert len({machine.name for machine in machines}) == len(machines)
    assert len({machine.host for machine in machines}) == len(machines)
    assert all(10 < machine.host < 255 for machine in machines)


@given(specs)
def test_steps_can_all_run(spec: ClusterSpec) -> None:
    """Every need exists and comes first, so that no cycle is possible; every group that is named exists."""
    plan = plan_create(spec)
    seen: set[str] = set()
    for step in plan.steps:
        assert set(step.needs) <= seen, step
        assert not step.group or plan.groups[step.group]
        seen.add(step.name)
    assert len(seen) == len(plan.steps)


@given(specs)
def test_a_plan_survives_the_wire(spec: ClusterSpec) -> None:
    plan = plan_create(spec)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_a_balancer_only_in_front_of_three() -> None:
    kinds = {slots: _kinds(plan_create(cluster(controlPlane={"replicas": slots}).spec)) for slots in (1, 3)}
    assert StepKind.ENDPOINT not in kinds[1]
    assert StepKind.ENDPOINT in kinds[3]


def test_virtual_machines_need_no_balancer_and_have_the_same_address_of_their_api() -> None:
    plans = [
        plan_create(cluster(provider=name, controlPlane={"replicas": 3}).spec) for name in ("local", "libvirt")
    ]
    assert StepKind.ENDPOINT not in _kinds(plans[1])
    assert {plan.endpoint_host for plan in plans} == {10}


def test_control_plane_machines_are_waited_for_as_nodes_where_they_are() -> None:
    joined = {
        provider: [
            step.group
            for step in plan_create(cluster(provider=provider).spec).steps
            if step.kind is StepKind.NODES
        ]
        for provider in ("local", "libvirt")
    }
    assert joined == {"local": ["workers"], "libvirt": ["control-plane", "workers"]}


def test_a_cluster_is_complete_only_when_verified() -> None:
    assert _kinds(plan_create(cluster().spec))[-2:] == [StepKind.VERIFY, StepKind.RECORD]


def test_a_deletion_is_written_down_before_anything_else_is_removed() -> None:
    """``DeleteSecrets`` does; a cluster whose deletion nobody knows of would be adopted without its machines."""
    steps = {step.name: step for step in plan_delete("local", undoing=False).steps}
    assert [steps[name].needs for name in ("secrets", "machines", "authorities")] == [
        ["find"],
        ["secrets"],
        ["secrets"],
    ]


def test_claims_go_last_and_an_undo_spares_what_was_complete() -> None:
    assert _kinds(plan_delete("local", undoing=False))[-1] is StepKind.RELEASE
    assert plan_delete("local", undoing=True).spare_complete
    assert not plan_delete("local", undoing=False).spare_complete


def _kinds(plan: Plan) -> list[StepKind]:
    return [step.kind for step in plan.steps]
